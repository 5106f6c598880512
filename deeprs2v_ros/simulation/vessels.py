"""Vessel trees: branches that wander, taper and divide until they are too thin to see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from deeprs2v_ros.geometry import Array

_STEP_MM = 3.0
_WANDER = 0.14  # how far the direction turns in a step, rad (standard deviation)
_THINNEST_MM = 0.6
_LANDMARK_MM = 1.6  # thinnest branch whose bifurcation a sonographer would pick


@dataclass
class VesselTree:
    """Straight pieces of tube, rows (x, y, z, x, y, z, radius) mm from one end to the other, and where they divide."""

    pieces: list[list[float]] = field(default_factory=list)
    bifurcations: list[Array] = field(default_factory=list)

    def grow(
        self,
        start: ArrayLike,
        direction: ArrayLike,
        radius: float,
        inside: Callable[[Array], bool],
        rng: np.random.Generator,
    ) -> None:
        """Grow a branch of ``radius`` mm from ``start`` and all that divides from it, as far as ``inside`` is true.

        A branch keeps its radius but for a slight taper and divides after some five radii. The radii of daughters
        follow Murray's law, r^3 = r1^3 + r2^3 (J. Gen. Physiol. 9, 1926), and the thinner one turns off more.
        """
        point, heading = np.array(start, dtype=float), _unit(np.array(direction, dtype=float))
        for _ in range(round((6.0 + radius * rng.uniform(2.0, 5.0)) / _STEP_MM)):
            following = point + _STEP_MM * heading
            if not inside(following):
                return
            self.pieces.append([*point, *following, radius])
            point, heading = following, _unit(heading + rng.normal(scale=_WANDER, size=3))
            radius *= 0.992
        share = rng.uniform(0.25, 0.75)
        radii = radius * np.cbrt([share, 1.0 - share])
        if radii.max() < _THINNEST_MM:
            return
        if radii.min() >= _LANDMARK_MM:
            self.bifurcations.append(point)
        aside = _unit(np.cross(heading, rng.normal(size=3)))
        for daughter, other, side in ((radii[0], radii[1], aside), (radii[1], radii[0], -aside)):
            if daughter >= _THINNEST_MM:
                turn = rng.uniform(0.6, 1.2) * other / (daughter + other)
                self.grow(point, heading + np.tan(turn) * side, daughter, inside, rng)

    def signed_distance(self, shape: tuple[int, int, int], origin: Array, spacing: float, reach: float) -> NDArray:
        """Distance (mm) of every voxel to the tubes' walls, negative inside, at most ``reach``; float32 (z, y, x)."""
        distance = np.full(shape, reach, dtype=np.float32)
        _paint(distance, np.array(self.pieces).reshape(-1, 7), origin, spacing, reach)
        return distance


def _unit(vector: Array) -> Array:
    return vector / np.linalg.norm(vector)


@njit(nogil=True, cache=True)
def _paint(distance: NDArray, pieces: Array, origin: Array, spacing: float, reach: float) -> None:
    depth, rows, columns = distance.shape
    for piece in pieces:
        a, b, radius = piece[0:3], piece[3:6], piece[6]
        low, high = np.empty(3, dtype=np.int64), np.empty(3, dtype=np.int64)
        for axis, size in enumerate((columns, rows, depth)):
            near = min(a[axis], b[axis]) - radius - reach - origin[axis]
            far = max(a[axis], b[axis]) + radius + reach - origin[axis]
            low[axis], high[axis] = max(0, int(near / spacing)), min(size, int(far / spacing) + 2)
        along = b - a
        length_squared = np.sum(along * along)
        for k in range(low[2], high[2]):
            z = origin[2] + k * spacing - a[2]
            for j in range(low[1], high[1]):
                y = origin[1] + j * spacing - a[1]
                for i in range(low[0], high[0]):
                    x = origin[0] + i * spacing - a[0]
                    share = min(max((x * along[0] + y * along[1] + z * along[2]) / length_squared, 0.0), 1.0)
                    dx, dy, dz = x - share * along[0], y - share * along[1], z - share * along[2]
                    wall = np.sqrt(dx * dx + dy * dy + dz * dz) - radius
                    if wall < distance[k, j, i]:
                        distance[k, j, i] = wall
