"""Where images, counts and volumes come from: devices, files, the simulated cart."""
