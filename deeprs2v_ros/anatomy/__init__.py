"""What else is known of the patient: surfaces of vessels and tumour, an MRI or CT, and their place in the volume."""
