"""What is known of the live images before the first one comes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deeprs2v_ros.geometry import Array, image_centre


@dataclass(frozen=True)
class ImageGeometry:
    """Images of ``shape`` (rows, columns) and ``pixel_size`` (x, y) mm, with the probe's ``face`` at a pixel (u, v)."""

    shape: tuple[int, int]
    pixel_size: tuple[float, float]
    face: tuple[float, float] | None = None

    @property
    def image_from_pixel(self) -> Array:
        """The pixel size, as a 4x4 (mm)."""
        return np.diag([*self.pixel_size, 1.0, 1.0])

    @property
    def centre(self) -> Array:
        """The image centre in the image frame (3,) mm."""
        return image_centre(self.shape, self.image_from_pixel)
