"""What else is known of the patient: surfaces of vessels and tumour, and an MRI or CT, with their place in the volume."""
