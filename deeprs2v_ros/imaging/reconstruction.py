"""Reconstruction of a 3D image from a tracked sweep of 2D frames.

Each voxel asks which frames it lies between. Two consecutive frames with the voxel on opposite sides of their planes
bracket it, however far they are apart up to `MAX_GAP`; both are sampled where the probe's path from one to the other
passes through the voxel (Coupé et al., MICCAI 2005), and weighted by how near they are. That is linear interpolation
across gaps. Where frames lie closer together than voxels do, every frame within one voxel of the plane takes part, so
that their noise averages out.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, apply
from deeprs2v_ros.imaging.sequence import Sequence
from deeprs2v_ros.imaging.volume import MOST_VOXELS, Volume

MAX_GAP = 15.0  # mm between two frames at a voxel; across more, what lies between them is unknown
_BRICK = 8  # voxels along each edge of the bricks for which the frames at hand are looked up


def reconstruct(
    sequence: Sequence,
    mask: NDArray[np.bool_],
    spacing: float,
    progress: Callable[[int, int], None] | None = None,
) -> Volume:
    """Reconstruct a uint8 volume with isotropic ``spacing`` (mm) from the valid frames of ``sequence``.

    ``mask`` (rows, columns) is the valid area of a frame. The volume's axes are those of the world, its box is the one
    that holds all valid pixels. Voxels that no frame reaches are 0, all others at least 1. ``progress`` is called with
    the layers done and the layers in all.

    Raises InputError for fewer than two valid frames, a mask that is empty or of another size, a spacing that is not
    positive, and a box of more than `MOST_VOXELS` voxels.
    """
    if not (np.isfinite(spacing) and spacing > 0):
        raise InputError(f"spacing: must be a positive number of millimetres, not {spacing}")
    if mask.shape != sequence.frames.shape[1:]:
        raise InputError(f"mask: its shape {mask.shape} is not that of the frames {sequence.frames.shape[1:]}")
    if not mask.any():
        raise InputError("mask: is empty")
    if np.count_nonzero(sequence.valid) < 2:
        raise InputError(f"sequence: a volume needs two valid frames, and of {len(sequence)} too few are")
    frames = sequence.frames[sequence.valid]
    world_from_pixel = sequence.world_from_pixel[sequence.valid]

    origin, size = _box(world_from_pixel, mask, spacing)
    array = np.zeros(size[::-1], np.uint8)
    pixel_from_world = _pixel_from_world(world_from_pixel)
    for first in range(0, len(array), _BRICK):
        layers = array[first : first + _BRICK]
        corner = origin + np.array([0.0, 0.0, first * spacing])
        _fill_layers(layers, corner, float(spacing), frames, mask, pixel_from_world)
        if progress is not None:
            progress(min(first + _BRICK, len(array)), len(array))
    return Volume(array, np.full(3, float(spacing)), origin)


def _box(world_from_pixel: Array, mask: NDArray[np.bool_], spacing: float) -> tuple[Array, NDArray[np.int64]]:
    """Origin (mm) and size (x, y, z voxels) of the box around all valid pixels, on multiples of the spacing."""
    outline = cv2.convexHull(cv2.findNonZero(mask.astype(np.uint8)))[:, 0]
    pixels = np.column_stack([outline, np.zeros(len(outline))])
    points = np.concatenate([apply(transform, pixels) for transform in world_from_pixel])
    origin = np.floor(points.min(axis=0) / spacing) * spacing
    size = np.ceil((points.max(axis=0) - origin) / spacing) + 1
    if np.prod(size) > MOST_VOXELS:
        shape = "x".join(f"{n:.0f}" for n in size)
        raise InputError(f"spacing: {spacing} mm makes a volume of {shape} voxels, more than {MOST_VOXELS:.0e}")
    return origin, size.astype(np.int64)


def _pixel_from_world(world_from_pixel: Array) -> Array:
    """Maps (N, 3, 4) of world points (mm) to (u, v) pixels and the signed distance (mm) from each frame's plane.

    The third column of a pixel transform has no bearing on pixels and may be anything; the plane's normal replaces it.
    """
    full = world_from_pixel.copy()
    normals = np.cross(full[:, :3, 0], full[:, :3, 1])
    full[:, :3, 2] = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    return np.ascontiguousarray(np.linalg.inv(full)[:, :3])


@numba.njit(cache=True, nogil=True)
def _fill_layers(layers, corner, spacing, frames, mask, pixel_from_world):  # noqa: ANN001, ANN202 (compiled)
    depth, rows, columns = layers.shape
    centre = 0.5 * (_BRICK - 1) * spacing
    near = np.empty(len(frames), np.int64)
    distances = np.empty(len(frames))
    for top in range(0, rows, _BRICK):
        for left in range(0, columns, _BRICK):
            x = corner[0] + left * spacing + centre
            y = corner[1] + top * spacing + centre
            count = _frames_near(x, y, corner[2] + centre, spacing, pixel_from_world, distances, near)
            if count == 0:
                continue
            for k in range(depth):
                for j in range(top, min(top + _BRICK, rows)):
                    for i in range(left, min(left + _BRICK, columns)):
                        x = corner[0] + i * spacing
                        y = corner[1] + j * spacing
                        z = corner[2] + k * spacing
                        layers[k, j, i] = _voxel(x, y, z, spacing, frames, mask, pixel_from_world, near[:count])


@numba.njit(cache=True, nogil=True)
def _project(row, x, y, z):  # noqa: ANN001, ANN202 (compiled)
    return row[0] * x + row[1] * y + row[2] * z + row[3]


@numba.njit(cache=True, nogil=True)
def _frames_near(x, y, z, spacing, pixel_from_world, distances, near):  # noqa: ANN001, ANN202 (compiled)
    """Frames that may take part in some voxel of the brick around (x, y, z): put into ``near``, counted."""
    count = 0
    frames = len(distances)
    radius = 0.5 * np.sqrt(3.0) * (_BRICK - 1) * spacing
    for n in range(frames):
        distances[n] = _project(pixel_from_world[n, 2], x, y, z)
    for n in range(frames):
        wanted = abs(distances[n]) < radius + spacing
        if not wanted and abs(distances[n]) < radius + MAX_GAP:
            for other in (n - 1, n + 1):
                if 0 <= other < frames:
                    lower = min(distances[n], distances[other])
                    upper = max(distances[n], distances[other])
                    wanted |= lower <= radius and upper >= -radius
        if wanted:
            near[count] = n
            count += 1
    return count


@numba.njit(cache=True, nogil=True)
def _voxel(x, y, z, spacing, frames, mask, pixel_from_world, near):  # noqa: ANN001, ANN202 (compiled)
    """The grey value at one point: 0 where nothing is known, otherwise 1 to 255."""
    total = 0.0
    weights = 0.0
    coverage = 0.0
    for n in near:
        distance = _project(pixel_from_world[n, 2], x, y, z)
        # The neighbour in time on the other side of the point, the nearer one if both are.
        partner = -1
        gap = MAX_GAP
        for other in (n - 1, n + 1):
            if 0 <= other < len(frames):
                beyond = _project(pixel_from_world[other, 2], x, y, z)
                if distance * beyond <= 0.0 and abs(distance - beyond) < gap:
                    partner = other
                    gap = abs(distance - beyond)
        reach = max(gap, spacing) if partner >= 0 else spacing
        nearness = 1.0 - abs(distance) / reach
        if nearness <= 0.0:
            continue
        u = _project(pixel_from_world[n, 0], x, y, z)
        v = _project(pixel_from_world[n, 1], x, y, z)
        if partner >= 0 and gap > 0.0:
            # Where the point lies in the image plane on its way from one frame to the other.
            fraction = abs(distance) / gap
            u += fraction * (_project(pixel_from_world[partner, 0], x, y, z) - u)
            v += fraction * (_project(pixel_from_world[partner, 1], x, y, z) - v)
        grey = _bilinear(frames[n], mask, u, v)
        if grey >= 0.0:
            # A frame that has to speak for a wide gap knows less about each voxel in it.
            total += nearness / reach * grey
            weights += nearness / reach
            coverage += nearness
    if coverage < 0.5:  # the nearer one of the two frames does not show this point
        return 0
    return max(1, int(total / weights + 0.5))


@numba.njit(cache=True, nogil=True)
def _bilinear(frame, mask, u, v):  # noqa: ANN001, ANN202 (compiled)
    """The frame's value between pixels, or -1 where one of the four pixels around is not valid."""
    column = int(np.floor(u))
    row = int(np.floor(v))
    if column < 0 or row < 0 or column + 1 >= frame.shape[1] or row + 1 >= frame.shape[0]:
        return -1.0
    if not (mask[row, column] and mask[row, column + 1] and mask[row + 1, column] and mask[row + 1, column + 1]):
        return -1.0
    a = u - column
    b = v - row
    upper = (1.0 - a) * frame[row, column] + a * frame[row, column + 1]
    lower = (1.0 - a) * frame[row + 1, column] + a * frame[row + 1, column + 1]
    return (1.0 - b) * upper + b * lower
