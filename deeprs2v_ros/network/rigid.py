"""Rotations and rigid transforms for networks: the conventions of `geometry` in torch, batched and differentiable.

Every gradient is finite, also where the textbook formulas divide by zero: at the identity, at a perfect prediction, at
half a turn. Shapes carry any number of leading batch axes. Millimetres, radians.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

TYPICAL_MOTION = (10.0, 10.0, 10.0, 0.2, 0.2, 0.2)
"""What an output of 1 means: translation (mm), rotation vector (rad). About the size of a correction, so that a network
that is good at both has weights of one size and one learning rate serves both."""

GEODESIC_ROUNDING = 1e-4
"""Radians over which `geodesic` is rounded off where it has a tip: at zero and at half a turn."""

SPREAD_LIMIT = 6.0
"""Bound on the logarithm of a standard deviation in units of `TYPICAL_MOTION`: 0.025 to 4000 mm."""


def rigid(rotation: Tensor, translation: Tensor) -> Tensor:
    """The transforms (..., 4, 4) with ``rotation`` (..., 3, 3) and ``translation`` (..., 3)."""
    upper = torch.cat([rotation, translation.unsqueeze(-1)], dim=-1)
    last = upper.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*upper.shape[:-2], 1, 4)
    return torch.cat([upper, last], dim=-2)


def inverse(transform: Tensor) -> Tensor:
    """Inverse of rigid transforms (..., 4, 4): ``(R, t) -> (R^T, -R^T t)``."""
    rotation_t = transform[..., :3, :3].mT
    return rigid(rotation_t, -(rotation_t @ transform[..., :3, 3:]).squeeze(-1))


def skew(vector: Tensor) -> Tensor:
    """[w], the matrix (..., 3, 3) with ``[w] p = w x p``, of ``vector`` (..., 3)."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))


def rotation_from_6d(six: Tensor) -> Tensor:
    """Gram-Schmidt of two three-vectors, (..., 6) -> (..., 3, 3) (Zhou et al., CVPR 2019).

    ``b1 = N(a1), b2 = N(a2 - (b1.a2) b1), b3 = b1 x b2``. Where a1 and a2 are parallel or zero there is no rotation to
    find: the result is then no rotation, but finite.
    """
    b1 = functional.normalize(six[..., :3], dim=-1, eps=1e-6)
    second = six[..., 3:]
    b2 = functional.normalize(second - (b1 * second).sum(-1, keepdim=True) * b1, dim=-1, eps=1e-6)
    return torch.stack([b1, b2, torch.linalg.cross(b1, b2)], dim=-1)


def geodesic(rotation_a: Tensor, rotation_b: Tensor) -> Tensor:
    """Angle in radians between rotations (..., 3, 3) -> (...), to train on: smooth, with a gradient of at most about 1.

    Of ``R = A^T B`` the skew part has length ``s = sin(angle)`` and the trace is ``1 + 2 cos(angle)``. The angle
    ``atan2(s, cos)`` has a tip where s = 0; ``sqrt(s^2 + r^2)`` in its place, r being `GEODESIC_ROUNDING`, rounds it
    off, which costs at most r in the value. (`geometry.geodesic_distance` is exact instead.)
    """
    relative = rotation_a.mT @ rotation_b
    sine_squared = (relative - relative.mT).square().sum(dim=(-1, -2)) / 8.0
    cosine = (relative.diagonal(dim1=-2, dim2=-1).sum(-1) - 1.0) / 2.0
    return torch.atan2(torch.sqrt(sine_squared + GEODESIC_ROUNDING**2), cosine)


def from_motion(motion: Tensor) -> Tensor:
    """The transforms (..., 4, 4) of small motions (..., 6): ``p -> exp([w]) p + t``.

    Rodrigues' formula ``exp([w]) = 1 + sinc(a) [w] + sinc(a/2)^2 / 2 [w]^2``, a = |w|; sinc is smooth at zero.
    """
    turn = skew(motion[..., 3:])
    angle = torch.linalg.vector_norm(motion[..., 3:], dim=-1)[..., None, None] / math.pi  # torch.sinc's own unit
    rotation = torch.eye(3, dtype=motion.dtype, device=motion.device) + torch.sinc(angle) * turn
    return rigid(rotation + 0.5 * torch.sinc(angle / 2.0).square() * (turn @ turn), motion[..., :3])


def to_motion(transform: Tensor) -> Tensor:
    """The small motions (..., 6) of rigid transforms (..., 4, 4). Inverse of `from_motion` for less than half a turn.

    By way of the unit quaternion q = (w, v): the 4x4 matrix ``4 q q^T`` is linear in the rotation, and its row with the
    largest diagonal element is q up to a factor of at least 2, so nothing is divided by a small number. The rotation
    vector is ``v 2 atan2(|v|, w) / |v|``.
    """
    r = transform[..., :3, :3]
    xx, yy, zz = r.diagonal(dim1=-2, dim2=-1).unbind(-1)
    wx, wy, wz = r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]
    xy, xz, yz = r[..., 0, 1] + r[..., 1, 0], r[..., 0, 2] + r[..., 2, 0], r[..., 1, 2] + r[..., 2, 1]
    squares = torch.stack([1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz], dim=-1)
    ww, xx, yy, zz = squares.unbind(-1)
    rows = torch.stack([ww, wx, wy, wz, wx, xx, xy, xz, wy, xy, yy, yz, wz, xz, yz, zz], dim=-1).unflatten(-1, (4, 4))
    largest = squares.argmax(dim=-1)[..., None, None].expand(*squares.shape[:-1], 1, 4)
    quaternion = functional.normalize(rows.gather(-2, largest).squeeze(-2), dim=-1)
    w, v = quaternion[..., :1], quaternion[..., 1:]
    w, v = torch.where(w < 0, -w, w), torch.where(w < 0, -v, v)  # q and -q are the same rotation: the shorter way
    length = torch.sqrt(v.square().sum(-1, keepdim=True) + 1e-20)  # far below rounding, but never zero
    return torch.cat([transform[..., :3, 3], v * (2.0 * torch.atan2(length, w) / length)], dim=-1)


def scaled_motion(output: Tensor) -> Tensor:
    """Small motions (..., 6) from a network's ``output`` (..., 6) of order 1, in units of `TYPICAL_MOTION`."""
    return output * output.new_tensor(TYPICAL_MOTION)


def diagonal_covariance(output: Tensor) -> Tensor:
    """Covariance (..., 6, 6) of a small motion, mm and rad, from the logarithms (..., 6) of its standard deviations.

    They are in units of `TYPICAL_MOTION`, bounded smoothly by `SPREAD_LIMIT`: no output, however wild, becomes zero or
    infinite.
    """
    deviation = scaled_motion(torch.exp(SPREAD_LIMIT * torch.tanh(output / SPREAD_LIMIT)))
    return torch.diag_embed(deviation.square())
