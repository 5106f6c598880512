"""What the nodes said while a bag was recorded: one status for every image, and when that was."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deeprs2v_ros.bags import Bag
from deeprs2v_ros.demo.latency import done_by
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, apply
from deeprs2v_ros.messages import rigid_from, stamp_of, time_of

_ROUNDING = 1e-3
"""mm between two ways to say how far a registration has gone."""


@dataclass(frozen=True)
class Said:
    """What the nodes said of one image, or, unless it is ``of_image``, why their state changed without one.

    ``stamp`` is the image's. ``received``, ``located`` and ``concluded`` are when it came, when the arm's transform was
    there, and when it was settled, on the nodes' clock; ``came``, ``began`` and ``recorded`` are when it came, when its
    turn came, and when all this was said, on the bag's; ns. ``tracked`` X, ``registered`` Y (4, 4) mm are None where
    they were never there. ``from_rest``: the registration began at X, as if nothing were known of the organ.
    ``stages`` are when each stage was done, as `latency.done_by`.
    ``offset`` is image_time_offset in ns, where the message tells it. ``age`` (s) is that of the last accepted image.
    """

    stamp: int
    received: int
    located: int
    concluded: int
    came: int
    began: int
    recorded: int
    state: str
    accepted: bool
    reason: str
    tracked: Array | None
    registered: Array | None
    from_rest: bool
    followed: bool
    stages: tuple[float, ...]
    offset: int | None
    age: float
    volume: str
    configuration: str
    of_image: bool


class Audit:
    """All that was ``said``, in the order in which it was recorded, and of which images of the bag."""

    def __init__(self, said: Sequence[Said]) -> None:
        self.said = said
        self.of_frame: list[int | None] = []
        """The number of what was said of each image so far; None for one that the nodes never saw."""
        self._left: dict[int, list[int]] = defaultdict(list)
        # A repeated stamp may be refused before the image that had it first has been registered.
        for number in sorted(range(len(said)), key=lambda number: said[number].came, reverse=True):
            if said[number].of_image:
                self._left[said[number].stamp].append(number)

    def match(self, stamp: int) -> None:
        """Find what was said of the next image of the bag, which has ``stamp``."""
        left = self._left.get(stamp)
        self.of_frame.append(left.pop() if left else None)

    def by_frame(self) -> dict[int, Said]:
        """What was said of each image so far, for those that the nodes saw."""
        return {frame: self.said[number] for frame, number in enumerate(self.of_frame) if number is not None}

    @property
    def image_time_offset(self) -> int | None:
        """The nodes' image_time_offset in ns; None if they never told it."""
        return next((each.offset for each in self.said if each.offset is not None), None)


def read_audit(bag: Bag, topic: str, centre: Array, log: Callable[[str], None]) -> Audit | None:
    """What the nodes said on ``topic``; None if the bag does not tell. ``centre`` (3,) mm is that of an image.

    ``log`` is told, in a line, of statuses that are not like those of this package.
    """
    said: list[Said] = []
    free = 0  # when the nodes were done with the last image that they looked at
    try:
        for _, recorded, message in bag.messages((topic,)):
            said.append(_said(message, recorded, free, centre))
            free = free if said[-1].tracked is None else recorded
    except (AttributeError, KeyError):
        log(f"{topic}: statuses of another version are not read")
        return None
    return Audit(said) if said else None


def _said(message: Any, recorded: int, free: int, centre: Array) -> Said:
    # The names of the states are constants of the message, which the bag's own definition knows.
    states = {value: name for name, value in vars(type(message)).items() if name.isupper()}
    stamp, concluded = stamp_of(message.header), time_of(message.predicted_at)
    came = recorded - _ns(message.latency_published - message.latency_received)
    tracked, registered = _pose(message.tracked_pose), _pose(message.pose)
    if math.isnan(message.latency_correction):
        registered = None
    return Said(
        stamp=stamp,
        # Since no stamp at all, it has been too long for the latency to be exact.
        received=stamp + _ns(message.latency_received) if stamp else concluded,
        located=concluded if tracked is None else stamp + _ns(message.latency_transform),
        concluded=concluded,
        came=came,
        began=max(came, free),
        recorded=recorded,
        state=states[message.state],
        accepted=bool(message.accepted),
        reason=message.reason,
        tracked=tracked,
        registered=registered,
        from_rest=registered is not None and _is_from_rest(tracked, registered, centre, message.prior_distance_mm),
        followed=bool(message.followed),
        stages=done_by(message),
        # An accepted image is the last accepted one, and the prediction counts from what that shows.
        offset=_offset(message, stamp, concluded) if message.accepted else None,
        age=message.correction_age,
        volume=message.volume,
        configuration=message.configuration,
        of_image=not message.without_image,
    )


def _offset(message: Any, stamp: int, concluded: int) -> int | None:
    horizon = message.predicted_horizon
    return None if math.isnan(horizon) else stamp - (concluded - _ns(horizon))


def _is_from_rest(tracked: Array, registered: Array, centre: Array, moved: float) -> bool:
    return abs(float(np.linalg.norm(apply(registered, centre) - apply(tracked, centre))) - moved) < _ROUNDING


def _pose(pose: Any) -> Array | None:
    """The 4x4 (mm) of a pose; None for one of NaN, or for none."""
    at, turn = pose.position, pose.orientation
    try:
        return rigid_from((at.x, at.y, at.z), (turn.x, turn.y, turn.z, turn.w), "pose")
    except InputError:
        return None


def _ns(seconds: float) -> int:
    return round(1e9 * seconds)
