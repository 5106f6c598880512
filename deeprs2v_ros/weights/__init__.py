"""Trained weights that come with the package; README.md in this folder is their data card."""
