"""Transforms of a tree of frames over time, looked up as TF does it.

Each frame's place in its parent has a history of ten seconds, or is fixed. In between two transforms of one frame the
translation moves on a straight line and the rotation on the shorter arc, at constant speeds; each link of the chain is
interpolated by itself. Before the first and after the last one, nothing is known.

Times are whole nanoseconds, transforms (4, 4) in mm.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

import numpy as np

from deeprs2v_ros.geometry import Array, interpolate, inverse

REMEMBERED = 10 * 10**9
"""ns: what TF remembers by default."""


@dataclass
class _History:
    """One frame's places: (parent, parent_from_frame) at ascending ``stamps``; one at no stamp if it is ``fixed``."""

    fixed: bool
    stamps: list[int] = field(default_factory=list)
    places: list[tuple[str, Array]] = field(default_factory=list)

    def insert(self, stamp: int, parent: str, parent_from_frame: Array) -> None:
        if self.fixed:
            self.places = [(parent, parent_from_frame)]
            return
        stamps, places = self.stamps, self.places
        if stamps and stamp < stamps[-1] - REMEMBERED:
            return
        at = bisect_right(stamps, stamp)
        stamps.insert(at, stamp)
        places.insert(at, (parent, parent_from_frame))
        outdated = bisect_right(stamps, stamps[-1] - REMEMBERED - 1)
        if outdated:
            del stamps[:outdated], places[:outdated]

    def at(self, stamp: int) -> tuple[str, Array] | None:
        """Where the frame is at a time. Across a change of parent the older one holds."""
        if self.fixed:
            return self.places[0]
        older = bisect_right(self.stamps, stamp) - 1
        if older < 0:
            return None
        since = stamp - self.stamps[older]
        if since == 0:
            return self.places[older]
        if older == len(self.stamps) - 1:
            return None
        (parent, start), (next_parent, end) = self.places[older : older + 2]
        if parent != next_parent:
            return parent, start
        return parent, interpolate(start, end, since / (self.stamps[older + 1] - self.stamps[older]))


class TransformTree:
    """What is known of every frame's place in its parent."""

    def __init__(self) -> None:
        self._histories: dict[str, _History] = {}

    def insert(self, parent: str, child: str, stamp: int, parent_from_child: Array, fixed: bool = False) -> None:
        """Add a transform at a time, or one that is ``fixed``. What is older than ten seconds is not kept."""
        history = self._histories.get(child)
        if history is None or history.fixed != fixed:
            history = self._histories[child] = _History(fixed)
        history.insert(stamp, parent, parent_from_child)

    def clear(self) -> None:
        """Forget all transforms but the fixed ones, for a clock that has jumped back."""
        self._histories = {child: each for child, each in self._histories.items() if each.fixed}

    def lookup(self, target: str, source: str, stamp: int) -> Array | None:
        """target_from_source at a time; None where that is not known."""
        above_source = self._way_up(source, stamp)
        above_target = self._way_up(target, stamp)
        for frame, frame_from_target in above_target.items():
            if frame in above_source:
                return inverse(frame_from_target) @ above_source[frame]
        return None

    def _way_up(self, frame: str, stamp: int) -> dict[str, Array]:
        """The frames from this one to the root, or to where it is not known: the transform of this one to each."""
        ways = {frame: np.eye(4)}
        top = frame
        while top in self._histories and (place := self._histories[top].at(stamp)) is not None:
            parent, parent_from_top = place
            if parent in ways:  # a loop
                break
            ways[parent] = parent_from_top @ ways[top]
            top = parent
        return ways
