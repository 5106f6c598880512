"""Where the probe goes: on the skin, in the motor-driven 3D scanner, and in a physician's hand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, about, from_motion, rigid
from deeprs2v_ros.simulation.probe import CurvilinearProbe

_SWINGS = 3  # sinusoids that make up each coordinate of a hand-held path
_TREMOR_MM = 0.1
_TREMOR_HZ = (8.3, 9.1, 8.7)


def pose_on_skin(
    probe: CurvilinearProbe,
    position: ArrayLike = (0.0, 0.0, 0.0),
    yaw_deg: float = 0.0,
    tilt_deg: float = 0.0,
    rock_deg: float = 0.0,
) -> Array:
    """volume_from_image (4, 4) of a ``probe`` whose face touches ``position`` (3,) mm of the volume frame.

    All angles zero is a transverse view: image x is the volume's x, image y its y (into the body). ``yaw_deg`` turns
    about the probe's own long axis, ``tilt_deg`` then about image x and ``rock_deg`` about image z.
    """
    rotation = Rotation.from_euler("YXZ", [yaw_deg, tilt_deg, rock_deg], degrees=True)
    return rigid(rotation.as_matrix(), position) @ rigid(translation=-probe.face)


def sweep_poses(
    probe: CurvilinearProbe,
    middle: Array,
    frames: int,
    tilt_deg: float = 60.0,
    translation_mm: float = 0.0,
) -> Array:
    """Poses volume_from_image (N, 4, 4) of one sweep of the motor-driven scanner, evenly about the pose ``middle``.

    It tilts by ``tilt_deg`` in all about image x through the probe's face, moves by ``translation_mm`` in all along
    image z, or does both at once (hybrid). Raises InputError for fewer than two frames.
    """
    if frames < 2:
        raise InputError(f"sweep: needs two or more frames, not {frames}")
    shares = np.linspace(-0.5, 0.5, frames)
    motions = [(0.0, 0.0, share * translation_mm, math.radians(share * tilt_deg), 0.0, 0.0) for share in shares]
    return np.stack([middle @ about(probe.face, from_motion(motion)) for motion in motions])


@dataclass(frozen=True)
class HandHeldPath:
    """A physician's hand about the pose ``nominal`` (volume_from_image): a smooth function of absolute time.

    Each coordinate is a sum of slow sinusoids whose periods share no multiple, and stays within its bound:
    ``slide_mm`` along image x, two thirds of it out of the plane and a tenth into the skin, ``turn_deg`` for tilt and
    yaw, two thirds of it for rocking; on top comes a tremor of 0.1 mm.
    """

    probe: CurvilinearProbe
    nominal: Array
    seed: int = 0
    slide_mm: float = 12.0
    turn_deg: float = 7.0

    @cached_property
    def _swings(self) -> tuple[Array, Array, Array]:
        """Rate (rad/s), phase and size of each sinusoid, shape (sinusoids, 6)."""
        rng = np.random.default_rng(self.seed)
        rate = 2.0 * math.pi / rng.uniform(6.0, 19.0, size=(_SWINGS, 6))
        size = rng.uniform(0.5, 1.0, size=(_SWINGS, 6))
        bound = np.array([1.0, 0.1, 0.67, 0.0, 0.0, 0.0]) * self.slide_mm
        bound[3:] = np.radians(self.turn_deg) * np.array([1.0, 1.0, 0.67])
        return rate, rng.uniform(0.0, 2.0 * math.pi, size=(_SWINGS, 6)), bound * size / size.sum(axis=0)

    def pose(self, t: float) -> Array:
        """volume_from_image (4, 4) at time ``t`` in s."""
        rate, phase, size = self._swings
        motion = (size * np.sin(rate * t + phase)).sum(axis=0)
        motion[:3] += _TREMOR_MM * np.sin(2.0 * math.pi * np.array(_TREMOR_HZ) * t + phase[0, :3])
        return self.nominal @ about(self.probe.face, from_motion(motion))
