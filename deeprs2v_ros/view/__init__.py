"""What the physician sees: pictures of the live plane, of the volume and of MRI or CT, with the anatomy drawn in."""
