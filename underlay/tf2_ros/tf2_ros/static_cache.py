"""A frame that never moves in its parent."""

from __future__ import annotations

from tf2_ros.time_cache import Entry


class StaticCache:
    """One transform, valid at any time; the last one set replaces those before it. It survives `clear`."""

    def __init__(self) -> None:
        self.entry: Entry = ("", ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)))

    def insert(self, stamp: int, entry: Entry) -> bool:
        """Replace the transform."""
        self.entry = entry
        return True

    def at(self, stamp: int) -> Entry:
        """The transform, whenever."""
        return self.entry

    def newest(self) -> tuple[int, str]:
        """Time 0, which stands for "any time", and the parent."""
        return 0, self.entry[0]

    def clear(self) -> None:
        """Nothing: what is static holds after a jump of the clock as well."""
