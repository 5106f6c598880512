"""Calibration of the arm against an optical tracker: what its encoders said, and where its tool was."""
