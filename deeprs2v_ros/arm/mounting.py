"""Where to stand the arm so that it can hold a given set of image poses."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from deeprs2v_ros.arm.chain import Chain
from deeprs2v_ros.arm.inverse import FREE_JOINTS, UnreachableError, solve
from deeprs2v_ros.geometry import Array, from_motion, inverse, rigid, to_motion


def mount_for(
    world_from_images: Array,
    chain: Chain,
    rest: Mapping[str, float],
    *,
    room: float = 20.0,
    margin: float = math.radians(2.0),
    link: str = "us_image",
    free: Sequence[str] = FREE_JOINTS,
) -> Array:
    """``base_from_world`` (4, 4) that puts the poses ``world_from_images`` (N, 4, 4) amid the arm's reach.

    The pose in the middle of the set is held in the posture ``rest`` (rad, mm). Every pose must then be in reach, also
    when displaced by ``room`` mm in any direction (its displacements to the eight corners of a cube are tried), with no
    joint in ``free`` closer to a limit than ``margin`` (rad).

    Raises UnreachableError naming the pose for which that is impossible.
    """
    base_from_world = chain.base_from(link, rest) @ inverse(_middle(world_from_images))
    displacements = [(0.0, 0.0, 0.0), *itertools.product((-room, room), repeat=3)]
    solutions = _solutions(base_from_world, world_from_images, chain, rest, displacements, link, free)
    for column, name in enumerate(free):
        values, joint = solutions[..., column], chain.joints[name]
        distance = np.minimum(values - joint.lower, joint.upper - values).min(axis=1)
        if distance.min() < margin:
            number = int(distance.argmin())
            left = math.degrees(distance.min())
            raise UnreachableError(f"pose {number} brings {name} within {left:.1f} degrees of its limit", 0.0)
    return base_from_world


def _middle(world_from_images: Array) -> Array:
    """The pose (4, 4) about which the poses spread evenly: the middle of their extremes, seen from their mean."""
    rotation = Rotation.from_matrix(world_from_images[:, :3, :3]).mean().as_matrix()
    world_from_mean = rigid(rotation, world_from_images[:, :3, 3].mean(axis=0))
    motions = np.array([to_motion(inverse(world_from_mean) @ pose) for pose in world_from_images])
    return world_from_mean @ from_motion((motions.min(axis=0) + motions.max(axis=0)) / 2.0)


def _solutions(
    base_from_world: Array,
    world_from_images: Array,
    chain: Chain,
    start: Mapping[str, float],
    displacements: Sequence[tuple[float, ...]],
    link: str,
    free: Sequence[str],
) -> Array:
    """Joint values (poses, displacements, free joints) of every pose moved in the world by every displacement (mm)."""
    solutions = np.empty((len(world_from_images), len(displacements), len(free)))
    for number, world_from_image in enumerate(world_from_images):
        for corner, displacement in enumerate(displacements):
            base_from_image = base_from_world @ rigid(translation=displacement) @ world_from_image
            try:
                joints = solve(chain, base_from_image, start, link=link, free=free)
            except UnreachableError as error:
                where = f"pose {number} displaced by {displacement} mm"
                raise UnreachableError(f"{where}: {error}", error.residual) from error
            solutions[number, corner] = [joints[name] for name in free]
    return solutions
