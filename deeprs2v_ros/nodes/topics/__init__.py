"""What goes over topics and TF: messages and their quality of service."""
