"""Where the target truly is in a scene, and how far off what is broadcast is. Lengths in mm, stamps in ns."""

from __future__ import annotations

import numpy as np

from deeprs2v_ros.geometry import Array, apply, inverse
from deeprs2v_ros.simulation.cart import Cart

SECOND = 1_000_000_000


class Truth:
    """The truth about the scene of a ``cart``."""

    def __init__(self, cart: Cart) -> None:
        self._cart, self._scene = cart, cart.scene

    def error(self, stamp: int, motion: Array) -> float:
        """How far the broadcast ``motion`` C (4, 4) puts the target from where it truly was, in the volume's place."""
        return _distance(apply(inverse(motion), self._scene.target), self._target(stamp))

    def seen(self, stamp: int, motion: Array, tracked: Array) -> float:
        """The same as the image shows it: relative to the plane, which is said to be at ``tracked`` X (4, 4)."""
        shown = apply(inverse(tracked), apply(inverse(motion), self._scene.target))
        true_plane = self._scene.pose(round(stamp * self._scene.rate / SECOND))
        return _distance(shown, apply(inverse(true_plane), self._target(stamp)))

    def off(self, stamp: int, point: Array) -> float:
        """How far a ``point`` (3,) in base_link is from where the target truly was."""
        return _distance(point, self._cart.target_in_base(stamp / SECOND))

    def fastest(self, after: int, within: float = 6.0) -> int:
        """When the target moves fastest, in the next so many seconds."""
        times = after / SECOND + np.arange(0.0, within, 0.02)
        places = np.array([self._cart.target_in_base(t) for t in times])
        speeds = np.linalg.norm(np.diff(places, axis=0), axis=1)
        return round(times[int(speeds.argmax())] * SECOND)

    def _target(self, stamp: int) -> Array:
        return self._scene.breathing.displace(self._scene.target, stamp / SECOND)


def _distance(one: Array, other: Array) -> float:
    return float(np.linalg.norm(one - other))
