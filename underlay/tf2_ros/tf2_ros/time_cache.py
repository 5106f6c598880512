"""The history of one frame's place in its parent."""

from __future__ import annotations

from bisect import bisect_right

from tf2_ros.exceptions import ExtrapolationException
from tf2_ros.rigid import Rigid, interpolate

Entry = tuple[str, Rigid]
"""Parent frame, parent_from_child."""


class TimeCache:
    """Transforms sorted by time (nanoseconds), no older than ``cache_time`` before the newest."""

    def __init__(self, cache_time: int) -> None:
        self.cache_time = cache_time
        self.stamps: list[int] = []
        self.entries: list[Entry] = []

    def insert(self, stamp: int, entry: Entry) -> bool:
        """Add an entry, wherever in time it belongs; False if it is too old to be kept."""
        stamps, entries = self.stamps, self.entries
        if stamps and stamp < stamps[-1] - self.cache_time:
            return False
        place = bisect_right(stamps, stamp)
        same = place - 1
        while same >= 0 and stamps[same] == stamp:
            if entries[same] == entry:
                return True
            same -= 1
        stamps.insert(place, stamp)
        entries.insert(place, entry)
        if stamps[0] < stamps[-1] - self.cache_time:
            outdated = bisect_right(stamps, stamps[-1] - self.cache_time - 1)
            del stamps[:outdated], entries[:outdated]
        return True

    def at(self, stamp: int) -> Entry:
        """The entry at a time, interpolated between its neighbours; at 0 the newest.

        Raises ExtrapolationException outside the history. Across a change of parent the older neighbour holds.
        """
        stamps = self.stamps
        if not stamps:
            raise ExtrapolationException(f"no data to look up time {seconds(stamp)} in")
        if stamp == 0:
            return self.entries[-1]
        older = bisect_right(stamps, stamp) - 1
        if older >= 0 and stamps[older] == stamp:
            return self.entries[older]
        if len(stamps) == 1:
            raise ExtrapolationException(
                f"Lookup would require extrapolation at time {seconds(stamp)}, but only time {seconds(stamps[0])} "
                "is in the buffer"
            )
        if older < 0:
            raise ExtrapolationException(
                f"Lookup would require extrapolation into the past. Requested time {seconds(stamp)}, "
                f"the earliest data is at time {seconds(stamps[0])}"
            )
        if older == len(stamps) - 1:
            raise ExtrapolationException(
                f"Lookup would require extrapolation into the future. Requested time {seconds(stamp)}, "
                f"the latest data is at time {seconds(stamps[-1])}"
            )
        (parent, start), (next_parent, end) = self.entries[older], self.entries[older + 1]
        if parent != next_parent:
            return parent, start
        fraction = (stamp - stamps[older]) / (stamps[older + 1] - stamps[older])
        return parent, interpolate(start, end, fraction)

    def newest(self) -> tuple[int, str] | None:
        """Time and parent of the newest entry."""
        return (self.stamps[-1], self.entries[-1][0]) if self.stamps else None

    def clear(self) -> None:
        """Forget everything."""
        self.stamps.clear()
        self.entries.clear()


def seconds(stamp: int) -> str:
    """A time as text, in seconds."""
    return f"{stamp / 1e9:.6f}"
