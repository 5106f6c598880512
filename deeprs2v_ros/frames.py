"""Names of the TF frames that the nodes agree on (REP-105 style: every frame has one parent and one publisher)."""

from __future__ import annotations

BASE = "base_link"
IMAGE = "us_image"
VOLUME = "us_volume"
CORRECTED = "us_volume_corrected"
PREDICTED = "us_volume_predicted"
TUMOR = "tumor"
TUMOR_PREDICTED = "tumor_predicted"
MRI = "mri"
