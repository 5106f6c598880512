"""Which images may be registered at all, by their stamps, sizes and pixels. Times are whole nanoseconds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.geometry import Array
from deeprs2v_ros.registration.search import distance


class Refusal(str, Enum):
    """Why an image was not registered. IMAGE_STALE and EXPIRED are about no image: they became true without one."""

    NONE = ""
    ZERO_STAMP = "ZERO_STAMP"
    FAR_FUTURE = "FAR_FUTURE"
    DUPLICATE = "DUPLICATE"
    OUT_OF_ORDER = "OUT_OF_ORDER"
    SUPERSEDED = "SUPERSEDED"
    CLOCK_JUMP = "CLOCK_JUMP"
    NEW_VOLUME = "NEW_VOLUME"
    MOVED_VOLUME = "MOVED_VOLUME"
    RESET = "RESET"
    INACTIVE = "INACTIVE"
    WRONG_SIZE = "WRONG_SIZE"
    UNREADABLE = "UNREADABLE"
    NO_VOLUME = "NO_VOLUME"
    NO_WEIGHTS = "NO_WEIGHTS"
    FINDING_MASK = "FINDING_MASK"
    STARTING = "STARTING"
    NO_TRANSFORM = "NO_TRANSFORM"
    FROZEN = "FROZEN"
    IMAGE_STALE = "IMAGE_STALE"
    EXPIRED = "EXPIRED"


@dataclass(frozen=True)
class Arrival:
    """An image that has arrived: its ``stamp``, the time that it has ``shown``, when it was ``received``; all in ns.

    ``refusal`` says why it is not to be looked at, ``epoch`` which volume and which run of the clock it belongs to.
    What changes without an image is said as if one had arrived at that moment, with ``of_image`` false.
    """

    stamp: int
    shown: int
    received: int
    epoch: int
    refusal: Refusal = Refusal.NONE
    of_image: bool = True


class StampCheck:
    """Accepts stamps that grow and lie at most ``tolerance`` ns in the future.

    A stamp that is refused changes nothing, so it does no harm to those after it.
    """

    def __init__(self, tolerance: int) -> None:
        self._tolerance = tolerance
        self._last = 0

    def reset(self) -> None:
        """Accept any stamp as the next one, as after a clock that jumped back."""
        self._last = 0

    def later_than(self, now: int) -> bool:
        """Whether the last stamp that passed lies so far after ``now`` that the clock must have been set back."""
        return self._last > now + self._tolerance

    def judge(self, stamp: int, now: int) -> Refusal:
        """Why an image with ``stamp``, received at ``now``, is refused, or Refusal.NONE."""
        if stamp == 0:
            return Refusal.ZERO_STAMP
        if stamp > now + self._tolerance:
            return Refusal.FAR_FUTURE
        if stamp == self._last:
            return Refusal.DUPLICATE
        if stamp < self._last:
            return Refusal.OUT_OF_ORDER
        self._last = stamp
        return Refusal.NONE


class Freeze(Enum):
    """Whether a picture is a new one."""

    NONE = "a new picture"
    STILL = "the same one, and the probe is still: the machine's freeze key, or a grabber that is faster than it"
    MOVED = "the same one, though the probe has moved: it shows what is elsewhere"


class FreezeCheck:
    """Notices a picture that stands still, which is no new measurement, wherever the probe is.

    Speckle and noise never repeat, so equal pixels mean the same picture. Only the valid area counts, since a clock or
    a cursor beside it may move. ``allowed`` (mm, angles at a lever as in `search.distance`) is how far the plane may go
    before it counts as moved; 0 turns the check off. ``centre`` (3,) is the image centre in the image frame.
    """

    def __init__(self, allowed: float, centre: Array) -> None:
        self._allowed = allowed
        self._centre = centre
        self.reset()

    def reset(self) -> None:
        """Forget the last picture."""
        self._picture: NDArray[np.uint8] | None = None
        self._shown_at: Array | None = None

    def judge(self, picture: NDArray[np.uint8], mask: NDArray[np.bool_], tracked: Array) -> Freeze:
        """What ``picture`` (rows, columns), valid where ``mask`` is, shows at the pose ``tracked`` (4, 4)."""
        if not self._allowed > 0.0:
            return Freeze.NONE
        if self._picture is None or ((picture != self._picture) & mask).any():
            self._picture, self._shown_at = picture, tracked
            return Freeze.NONE
        moved = distance(tracked, self._shown_at, self._centre) > self._allowed
        return Freeze.MOVED if moved else Freeze.STILL
