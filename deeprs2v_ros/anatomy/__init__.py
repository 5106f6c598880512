"""What is known of the patient's anatomy beside ultrasound: surfaces, MRI or CT, vessels."""
