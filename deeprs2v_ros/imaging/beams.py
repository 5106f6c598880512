"""The beams of a probe in an image: the abdominal wall that they cross first, and the shadows that fall along them.

The wall, skin, fat and muscle, does not breathe with the organ behind it. Its layers are strong and turn a frame to
where they fit, so what lies in it is left out.

A rib, gas or a lost contact darkens all that lies behind it. Seen from elsewhere the shadow falls elsewhere, so it must
not be taken for anatomy: its edges are long, straight and strong, and pull every similarity to where two shadows match.
They are told apart by following the beams. What lies along a beam is anatomy and speckle, which change from point to
point; a shadow changes only from beam to beam.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import theilslopes

RUN = 30.0
"""mm along a beam over which a shadow stays the same."""

ACROSS = 12.0
"""mm: side of the surroundings of a point, in which its variation along and across the beams is compared."""

SHADOW = 0.15
"""Share of the variation that stays the same along the beams, above which it is a shadow's."""

FLAT = 1e-5
"""Variance of intensity, between 0 and 1, that is never a shadow's."""


class Beams:
    """The beams through the valid area ``mask`` (rows, columns) of frames whose points are ``spacing`` mm apart.

    The sides of the area are its first and last beam, whether parallel or not; between them beams are evenly spread.
    """

    def __init__(self, mask: NDArray[np.bool_], spacing: float) -> None:
        run, across = (max(3, round(length / spacing) | 1) for length in (RUN, ACROSS))
        along, beam = _courses(mask)
        rows = np.broadcast_to(np.arange(mask.shape[0], dtype=np.float32)[:, None], mask.shape)
        # Fixed-point maps, the same to a 32nd of a point, take half the time.
        self._image_of_beam = cv2.convertMaps(along.astype(np.float32), rows, cv2.CV_16SC2)
        self._beam_of_image = cv2.convertMaps(beam.astype(np.float32), rows, cv2.CV_16SC2)
        self._known = (self._along(mask.astype(np.float32)) > 0.99).astype(np.float32)
        self._over_run, self._over_across, self._over_square = (
            _Mean(self._known, size) for size in ((1, run), (across, 1), (across, across))
        )

    def shadows(self, frame: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Where the edges of shadows are in a ``frame`` (rows, columns) of intensities from 0 to 1."""
        lines = self._along(frame) * self._known
        persistent = self._over_across.variance(self._over_run.of(lines) * self._known)
        total = self._over_square.variance(lines)
        found = (persistent > SHADOW * total + FLAT) * self._known
        return cv2.remap(found, *self._beam_of_image, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT) > 0.5

    def _along(self, frame: NDArray[np.float32]) -> NDArray[np.float32]:
        """The ``frame`` with one beam in each column."""
        return cv2.remap(frame, *self._image_of_beam, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def behind_wall(mask: NDArray[np.bool_], pixel_size: tuple[float, float], thickness: float) -> NDArray[np.bool_]:
    """What of the valid area ``mask`` (rows, columns) lies deeper than ``thickness`` mm behind the probe's face.

    Depth is measured along the beams; ``pixel_size`` is (x, y) in mm. Each beam starts at its uppermost valid point.
    """
    along, beam = _courses(mask)
    rows, columns = mask.shape
    nearest = np.rint(along).astype(int).clip(0, columns - 1)
    first = np.take_along_axis(mask, nearest, axis=1).argmax(axis=0)  # row where each beam starts
    slant = (along[-1] - along[0]) / max(rows - 1, 1)  # columns that each beam moves on in a row
    of_pixel = np.rint(beam).astype(int).clip(0, columns - 1)
    depth = (np.arange(rows)[:, None] - first[of_pixel]) * np.hypot(slant * pixel_size[0], pixel_size[1])[of_pixel]
    return mask & (depth >= thickness)


def _courses(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Column of each beam, and beam of each column, in each row: both (rows, columns), with one beam a column."""
    left, right = _sides(mask)
    width, columns = np.maximum(right - left, 1.0), np.arange(mask.shape[1])
    last = max(mask.shape[1] - 1, 1)
    return left + width * columns / last, (columns - left) / width * last


def _sides(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Column of the left and of the right side in each row (rows, 1): straight lines through the mask's ends.

    From the top to where it is widest; below that a fan ends in an arc. Columns, where that gives no sensible lines.
    """
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.arange(mask.shape[1])
    first = np.where(mask, columns, mask.shape[1]).min(axis=1)[rows]
    last = np.where(mask, columns, -1).max(axis=1)[rows]
    widest = len(rows) - int(np.argmax((last - first)[::-1]))
    depth = np.arange(mask.shape[0])[:, None]
    straight = np.zeros(depth.shape), np.full(depth.shape, mask.shape[1] - 1.0)
    if widest < 3:
        return straight
    lines = [theilslopes(side[:widest], rows[:widest]) for side in (first, last)]
    left, right = (line.intercept + line.slope * depth for line in lines)
    return (left, right) if (right - left)[rows].min() > 2.0 else straight


class _Mean:
    """The mean over ``size`` (columns, rows) around each point, of those that are ``known``, 1 or 0."""

    def __init__(self, known: NDArray[np.float32], size: tuple[int, int]) -> None:
        self._size = size
        self._share = 1 / np.maximum(self._sum(known), np.float32(1e-3))

    def of(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The mean of ``values`` (rows, columns), 0 where they are not known."""
        return self._sum(values) * self._share

    def variance(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The variance of ``values`` (rows, columns), 0 where they are not known."""
        return np.maximum(self.of(values * values) - self.of(values) ** 2, np.float32(0.0))

    def _sum(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        return cv2.boxFilter(values, -1, self._size, normalize=True, borderType=cv2.BORDER_CONSTANT)
