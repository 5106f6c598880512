"""Geometry of a curvilinear probe and of the image that it makes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array


@dataclass(frozen=True)
class CurvilinearProbe:
    """A fan of scan lines that start on an arc of ``radius_mm`` and run outwards for ``depth_mm``.

    ``field_of_view_deg`` is the angle of the whole fan, ``pixel_mm`` the image's pixel size. The image is the smallest
    one that holds the fan, upright: x to the right across the fan, y down along its central line.

    Raises InputError for sizes that make no fan.
    """

    radius_mm: float = 50.0
    field_of_view_deg: float = 66.0
    depth_mm: float = 140.0
    pixel_mm: float = 0.38

    def __post_init__(self) -> None:
        for name in ("radius_mm", "depth_mm", "pixel_mm"):
            if not getattr(self, name) > 0.0:
                raise InputError(f"probe: {name} must be positive, not {getattr(self, name)}")
        if not 0.0 < self.field_of_view_deg < 160.0:
            raise InputError(f"probe: field_of_view_deg must be between 0 and 160, not {self.field_of_view_deg}")

    @property
    def half_angle(self) -> float:
        """Angle between the central and an outermost line, in radians."""
        return math.radians(self.field_of_view_deg) / 2.0

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the image."""
        width = 2.0 * (self.radius_mm + self.depth_mm) * math.sin(self.half_angle)
        height = self.radius_mm + self.depth_mm - self.radius_mm * math.cos(self.half_angle)
        return math.ceil(height / self.pixel_mm) + 1, math.ceil(width / self.pixel_mm) + 1

    @cached_property
    def image_from_pixel(self) -> Array:
        """Pixels (u, v, 0, 1), column and row, to the image frame in mm (4, 4)."""
        return np.diag([self.pixel_mm, self.pixel_mm, self.pixel_mm, 1.0])

    @cached_property
    def apex(self) -> Array:
        """The point where all lines meet, behind the probe's face, in the image frame (3,) mm."""
        columns = self.shape[1]
        return np.array([(columns - 1) / 2.0 * self.pixel_mm, -self.radius_mm * math.cos(self.half_angle), 0.0])

    @cached_property
    def face(self) -> Array:
        """The middle of the probe's face, where it touches the skin, in the image frame (3,) mm."""
        return self.apex + np.array([0.0, self.radius_mm, 0.0])

    @cached_property
    def polar(self) -> tuple[Array, Array]:
        """Range from the face (mm) and angle from the central line (rad, positive to the right) of every pixel."""
        rows, columns = self.shape
        x = np.arange(columns) * self.pixel_mm - self.apex[0]
        y = np.arange(rows)[:, None] * self.pixel_mm - self.apex[1]
        return np.hypot(x, y) - self.radius_mm, np.arctan2(x, y)

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """The valid area: pixels inside the fan, shape (rows, columns)."""
        depth, angle = self.polar
        return (depth >= 0.0) & (depth <= self.depth_mm) & (np.abs(angle) <= self.half_angle)

    @cached_property
    def fan_points(self) -> Array:
        """Points spread evenly over the fan's area, about one per square centimetre, in the image frame (N, 3) mm."""
        step = max(1, round(10.0 / self.pixel_mm))
        v, u = np.nonzero(self.mask[::step, ::step])
        return np.stack([u * step * self.pixel_mm, v * step * self.pixel_mm, np.zeros(len(u))], axis=1)
