"""The cart that holds the probe to a scene: what its encoders say, and where everything truly is.

A pure function of time, so that nodes in different processes agree without talking to each other.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.arm.description import Arm
from deeprs2v_ros.arm.inverse import solve
from deeprs2v_ros.arm.mounting import mount_for
from deeprs2v_ros.geometry import Array, apply, inverse
from deeprs2v_ros.simulation.scenes import Scene


class Cart:
    """An ``arm`` that holds the probe where ``scene`` wants it. Times in s, lengths in mm.

    At the moment of each image the arm is where inverse kinematics puts it; in between, its joints follow a smooth
    curve. ``base_from_volume`` (4, 4) is where the cart stands: so that all of the scene is within reach.

    Raises UnreachableError if there is no such place.
    """

    def __init__(self, arm: Arm, scene: Scene) -> None:
        self.arm = arm.holding(scene.mask.shape, scene.image_from_pixel, scene.face)
        self.scene = scene
        self.base_from_volume = mount_for(scene.reach(), self.arm.chain, self.arm.rest)
        self._joints_at_image = lru_cache(maxsize=64)(self._solve)

    def joints(self, t: float) -> dict[str, float]:
        """True joint values (rad, mm) at time ``t``: a Catmull-Rom curve through those at the images."""
        position = t * self.scene.rate
        index = math.floor(position)
        s = position - index
        weights = (
            (-s + 2 * s**2 - s**3) / 2,
            (2 - 5 * s**2 + 3 * s**3) / 2,
            (s + 4 * s**2 - 3 * s**3) / 2,
            (s**3 - s**2) / 2,
        )
        knots = [self._joints_at_image(index + k) for k in (-1, 0, 1, 2)]
        return {name: sum(w * knot[name] for w, knot in zip(weights, knots, strict=True)) for name in knots[0]}

    def counts(self, t: float) -> dict[str, int]:
        """What the encoders say at time ``t``."""
        return self.arm.encoders.counts(self.joints(t))

    def image(self, index: int) -> NDArray[np.uint8]:
        """Image number ``index``, which is taken at time ``index / scene.rate``."""
        return self.scene.image(index, self.volume_from_image(index))

    def volume_from_image(self, index: int) -> Array:
        """Where the image plane truly is, by the arm's true joints."""
        base_from_image = self.arm.chain.base_from("us_image", self._joints_at_image(index))
        return inverse(self.base_from_volume) @ base_from_image

    def target_in_base(self, t: float) -> Array:
        """Where the scene's target truly is at time ``t``, in base_link (3,)."""
        return apply(self.base_from_volume, self.scene.breathing.displace(self.scene.target, t))

    def _solve(self, index: int) -> dict[str, float]:
        return solve(self.arm.chain, self.base_from_volume @ self.scene.pose(index), self.arm.rest)
