"""What goes over topics and TF: messages, their quality of service, pictures."""
