"""Whether the organ can be where it was found, given where it was when it was last trusted.

If the arm or a clock is wrong, it looks as if the organ had moved: registration cannot tell one from the other. But an
organ stays within its range, and it does not move as the probe does.
"""

from __future__ import annotations

from collections.abc import Callable

from deeprs2v_ros.geometry import Array, inverse
from deeprs2v_ros.registration.gate import Reason
from deeprs2v_ros.registration.search import distance

MOVED = 6.0
"""mm of motion (angles at a lever as in `search.distance`) beyond which it is checked whether images are late."""

EXPLAINED = 0.5
"""They are, if with the probe's earlier place less than this share of the organ's motion remains."""

STEP, OLDEST = 100_000_000, 3_000_000_000
"""ns: how far back the probe is looked for, and in what steps."""


class Plausibility:
    """Knows where the organ was when it was last trusted; ``middle`` (3,) mm is the point by which it is told.

    It cannot get farther than ``reach`` (mm) from there.
    """

    def __init__(self, middle: Array, reach: float) -> None:
        self._middle, self._reach = middle, reach
        self.reset()

    def reset(self) -> None:
        """Forget everything, and take every place for possible."""
        self._trusted: Array | None = None

    def trust(self, motion: Array) -> None:
        """Note that the organ was certainly at C ``motion`` (4, 4)."""
        self._trusted = motion

    def judge(self, registered: Array, tracked: Array, time: int, at: Callable[[int], Array | None]) -> Reason:
        """Why the pose that was found is not possible, or Reason.NONE.

        ``registered`` is Y, ``tracked`` is X, both (4, 4) mm, of an image that shows the ``time`` (ns); ``at`` gives X
        at earlier times, where the arm has said it.
        """
        if self._trusted is None:
            return Reason.NONE
        moved = distance(registered @ inverse(tracked), self._trusted, self._middle)
        if moved > self._reach:
            return Reason.IMPLAUSIBLE_JUMP
        if moved > MOVED and self._is_late(registered, time, at, EXPLAINED * moved):
            return Reason.STAMPED_LATE
        return Reason.NONE

    def _is_late(self, registered: Array, time: int, at: Callable[[int], Array | None], enough: float) -> bool:
        """Whether the image shows what the probe saw some time before, with the organ where it was."""
        for earlier in range(time - STEP, time - OLDEST - 1, -STEP):
            tracked = at(earlier)
            if tracked is None:
                return False
            if distance(registered @ inverse(tracked), self._trusted, self._middle) < enough:
                return True
        return False
