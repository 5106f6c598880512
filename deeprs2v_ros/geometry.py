"""Rotations and rigid transforms of three-dimensional space.

Conventions, once for the whole core: column vectors, millimetres, radians, float64. A transform is a 4x4 array named
``a_from_b``: it maps coordinates of frame ``b`` to frame ``a``, so ``a_from_c = a_from_b @ b_from_c``.

A small motion is a six-vector ``(tx, ty, tz, wx, wy, wz)``: translation, then rotation vector (axis times angle),
the order of ROS covariances. It stands for the transform ``p -> exp([w]) p + t``.

A pixel transform maps ``(u, v, 0, 1)``, column and row of a pixel, to millimetres. It splits into a rigid pose and a
scale: ``world_from_pixel = world_from_image @ image_from_pixel``, where the image frame has its origin at the centre
of pixel (0, 0), x to the right, y down and z = x cross y into the plane.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]

_STEPS = np.array([1e-6] * 3 + [1e-8] * 3)  # mm and rad to which `rounded` rounds


def rigid(rotation: ArrayLike | None = None, translation: ArrayLike = (0.0, 0.0, 0.0)) -> Array:
    """The 4x4 transform with a 3x3 ``rotation`` (identity if None) and a ``translation`` (3,)."""
    transform = np.eye(4)
    if rotation is not None:
        transform[:3, :3] = rotation
    transform[:3, 3] = translation
    return transform


def inverse(transform: Array) -> Array:
    """Inverse of rigid transforms, shape (..., 4, 4): ``(R, t) -> (R^T, -R^T t)``."""
    rotation_t = np.swapaxes(transform[..., :3, :3], -1, -2)
    inverted = np.zeros_like(transform)
    inverted[..., :3, :3] = rotation_t
    inverted[..., :3, 3] = -np.einsum("...ij,...j->...i", rotation_t, transform[..., :3, 3])
    inverted[..., 3, 3] = 1.0
    return inverted


def apply(transform: Array, points: ArrayLike) -> Array:
    """Map ``points`` (..., 3) by one rigid or affine ``transform`` (4, 4)."""
    return np.asarray(points, dtype=float) @ transform[:3, :3].T + transform[:3, 3]


def from_motion(motion: ArrayLike) -> Array:
    """The transform of a small motion, shape (6,) -> (4, 4)."""
    motion = np.asarray(motion, dtype=float)
    return rigid(cv2.Rodrigues(motion[3:])[0], motion[:3])  # scipy's takes ten times as long for a single rotation


def to_motion(transform: Array) -> Array:
    """The six-vector of a rigid ``transform``, shape (4, 4) -> (6,). Inverse of `from_motion`."""
    (xx, xy, xz, x), (yx, yy, yz, y), (zx, zy, zz, z), _ = transform.tolist()
    twice_cosine = xx + yy + zz - 1.0
    if twice_cosine < 0.0:  # beyond a quarter turn the axis is not to be had of the differences alone
        return np.concatenate([transform[:3, 3], Rotation.from_matrix(transform[:3, :3]).as_rotvec()])
    axis = np.array([zy - yz, xz - zx, yx - xy])  # times twice the sine; scipy takes ten times as long
    twice_sine = math.hypot(*axis.tolist())
    angle = math.atan2(twice_sine, twice_cosine)
    return np.array([x, y, z, *(axis * (angle / twice_sine if twice_sine > 1e-12 else 0.5))])


def rounded(transform: Array) -> Array:
    """A rigid ``transform`` (4, 4), rounded to a nanometre and to 1e-8 rad.

    A message, with its metres and its quaternion, says it up to the last digits of a float. Whoever rounds what it says
    has the same transform to the last bit.
    """
    return from_motion(np.round(to_motion(transform) / _STEPS) * _STEPS)


def about(centre: ArrayLike, transform: Array) -> Array:
    """The same motion taken about the point ``centre`` (3,) instead of the origin: ``T(c) transform T(-c)``."""
    moved = transform.copy()
    moved[:3, 3] += centre - transform[:3, :3] @ centre
    return moved


def seen_from(lever: ArrayLike) -> Array:
    """The 6x6 that maps a small motion about the origin to the same motion about the point ``lever`` (3,) mm.

    The rotation stays, the translation gains ``w x lever``. A covariance becomes ``M covariance M^T``.
    """
    x, y, z = np.asarray(lever, dtype=float)
    mapped = np.eye(6)
    mapped[:3, 3:] = [[0.0, z, -y], [-z, 0.0, x], [y, -x, 0.0]]
    return mapped


def turned_covariance(covariance: Array, parent_from_frame: Array) -> Array:
    """Covariance (6, 6) of a small motion along the axes of a frame, along the axes of its parent instead.

    ``parent_from_frame`` (4, 4) gives the rotation: translations and rotation vectors turn alike. The point about which
    the motion is taken stays the same.
    """
    both = np.kron(np.eye(2), parent_from_frame[:3, :3])
    return both @ covariance @ both.T


def is_covariance(matrix: Array) -> bool:
    """Whether a square ``matrix`` can be one: finite, symmetric, and no variance below zero, up to rounding."""
    if not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T, rtol=1e-6, atol=1e-9 * np.abs(matrix).max()):
        return False
    variances = np.linalg.eigvalsh(matrix)
    return bool(variances[0] >= -1e-9 * max(variances[-1], 0.0))


def geodesic_distance(rotation_a: Array, rotation_b: Array) -> Array:
    """Angle in radians between rotations, shape (..., 3, 3) -> (...).

    The textbook ``arccos((trace(A B^T) - 1) / 2)`` loses half its digits near zero, where its derivative is infinite.
    With the chord ``f = |A - B|_F = sqrt(8) sin(angle / 2)`` the angle is ``2 atan2(f, sqrt(8 - f^2))``, exact at both
    ends.
    """
    chord_squared = np.sum((rotation_a - rotation_b) ** 2, axis=(-1, -2))
    return 2.0 * np.arctan2(np.sqrt(chord_squared), np.sqrt(np.clip(8.0 - chord_squared, 0.0, None)))


def rotation_to_6d(rotation: Array) -> Array:
    """First two columns of the matrix, shape (..., 3, 3) -> (..., 6) (Zhou et al., CVPR 2019)."""
    return np.concatenate([rotation[..., :, 0], rotation[..., :, 1]], axis=-1)


def rotation_from_6d(six: Array) -> Array:
    """Gram-Schmidt of two three-vectors, shape (..., 6) -> (..., 3, 3) (Zhou et al., CVPR 2019).

    ``b1 = N(a1), b2 = N(a2 - (b1.a2) b1), b3 = b1 x b2``, continuous wherever a1 and a2 are not parallel.
    """
    first, second = six[..., :3], six[..., 3:]
    b1 = first / np.linalg.norm(first, axis=-1, keepdims=True)
    b2 = second - np.sum(b1 * second, axis=-1, keepdims=True) * b1
    b2 = b2 / np.linalg.norm(b2, axis=-1, keepdims=True)
    return np.stack([b1, b2, np.cross(b1, b2)], axis=-1)


def interpolate(start: Array, end: Array, fraction: float) -> Array:
    """Rigid transform between ``start`` (fraction 0) and ``end`` (1): linear translation, slerp rotation."""
    turn = Rotation.from_matrix(start[:3, :3].T @ end[:3, :3]).as_rotvec()
    rotation = start[:3, :3] @ Rotation.from_rotvec(fraction * turn).as_matrix()
    return rigid(rotation, (1.0 - fraction) * start[:3, 3] + fraction * end[:3, 3])


def split_pixel_transform(world_from_pixel: Array) -> tuple[Array, Array]:
    """Split a pixel transform (4, 4) into ``(world_from_image, image_from_pixel)``; their product is the input.

    The pose takes its x axis from the rows' direction and its y axis from the columns', made orthogonal to x; what
    is left (pixel size, and any shear or z scale of the input) is the scale.
    """
    x = world_from_pixel[:3, 0] / np.linalg.norm(world_from_pixel[:3, 0])
    y = world_from_pixel[:3, 1] - x * (x @ world_from_pixel[:3, 1])
    y = y / np.linalg.norm(y)
    world_from_image = rigid(np.stack([x, y, np.cross(x, y)], axis=1), world_from_pixel[:3, 3])
    return world_from_image, inverse(world_from_image) @ world_from_pixel


def image_centre(shape: tuple[int, int], image_from_pixel: Array) -> Array:
    """Centre of an image of ``shape`` (rows, columns), in the image frame (3,) mm."""
    rows, columns = shape
    return apply(image_from_pixel, [(columns - 1) / 2.0, (rows - 1) / 2.0, 0.0])
