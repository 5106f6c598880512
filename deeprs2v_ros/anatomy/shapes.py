"""Surfaces that are made or grown here."""

from __future__ import annotations

import numpy as np

from deeprs2v_ros.anatomy.surface import Surface
from deeprs2v_ros.geometry import Array

_RINGS = 24


def sphere(centre: Array, radius: float) -> Surface:
    """A sphere about ``centre`` (3,) mm: rings of triangles whose corners lie on it. Its volume is 1 % too small."""
    along, around = np.meshgrid(
        np.pi * np.arange(1, _RINGS) / _RINGS, np.pi * np.arange(2 * _RINGS) / _RINGS, indexing="ij"
    )
    rings = np.stack([np.sin(along) * np.cos(around), np.sin(along) * np.sin(around), np.cos(along)], axis=-1)
    corners = np.vstack([rings.reshape(-1, 3), [[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]])
    count, last = 2 * _RINGS, len(corners) - 1
    here = np.arange(count)
    after = (here + 1) % count
    triangles = [np.stack([np.full(count, last - 1), here, after], axis=1)]
    for ring in range(_RINGS - 2):
        upper, lower = ring * count, (ring + 1) * count
        triangles += [
            np.stack([upper + here, lower + here, upper + after], axis=1),
            np.stack([upper + after, lower + here, lower + after], axis=1),
        ]
    bottom = (_RINGS - 2) * count
    triangles.append(np.stack([np.full(count, last), bottom + after, bottom + here], axis=1))
    return Surface(np.asarray(centre) + radius * corners, np.vstack(triangles).astype(np.int32))


def outward(surface: Surface) -> Array:
    """Unit vectors (N, 3) that point out of a closed ``surface`` at its vertices: the mean of the triangles' around."""
    a, b, c = (surface.vertices[surface.triangles[:, corner]] for corner in range(3))
    across = np.cross(b - a, c - a)
    if np.einsum("ij,ij->", a, across) < 0.0:  # six times its volume: the triangles are the other way round
        across = -across
    total = np.zeros_like(surface.vertices)
    for corner in range(3):
        np.add.at(total, surface.triangles[:, corner], across)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
