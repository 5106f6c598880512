"""The time of a bag: that at which a message was received, shifted if the stamps in it are of another clock."""

from __future__ import annotations

from enum import Enum

LIMIT = 10**9
"""ns between a stamp and the time at which it was received, beyond which it is of another clock, or wrong."""
IN_A_ROW = 3
"""Stamps that agree with each other, and not with the clock, before it is the clock that is taken to be another."""


class Seen(Enum):
    """What a stamp says of the clock."""

    FITS = "of this clock"
    ODD = "wrong, as far as one can tell"
    JUMPED = "the clock has been set on"
    JUMPED_BACK = "the clock has been set back: the bag was recorded of one that was played again and again"


class BagClock:
    """Goes with the time at which messages were received, so that it is the same each time that a bag is played.

    A bag that was recorded while another one was played has the stamps of the other one; when that began again, they
    went back. So where the stamps of several messages in a row agree with each other but neither with the time of
    receipt nor with those before, `now` follows them; `steady` only goes on. A single wrong stamp changes nothing.
    """

    def __init__(self, received: int) -> None:
        self.steady = received
        self._offset = 0  # of the stamps' clock against the time of receipt
        self._latest: int | None = None  # of the stamps that fitted
        self._other = 0  # by how much the last stamps that did not fit were off
        self._in_a_row = 0

    @property
    def now(self) -> int:
        """The time on the clock of the stamps."""
        return self.steady + self._offset

    def advance(self, received: int) -> None:
        """Go on to the time at which a message was received."""
        self.steady = max(self.steady, received)

    def see(self, stamp: int) -> Seen:
        """What a message received now, with ``stamp``, says of the clock, which follows if it has to."""
        off = stamp - self.now
        # A recorder that was busy receives late: stamps then lie behind its time, but not behind each other.
        late = self._latest is not None and self._latest - LIMIT <= stamp < self.now
        if abs(off) <= LIMIT or late:
            self._in_a_row = 0
            self._latest = stamp if self._latest is None else max(self._latest, stamp)
            return Seen.FITS
        if stamp == 0:  # not set at all
            return Seen.ODD
        alike = self._in_a_row and abs(off - self._other) <= LIMIT
        self._in_a_row = self._in_a_row + 1 if alike else 1
        self._other = off
        if self._in_a_row < IN_A_ROW:
            return Seen.ODD
        self._offset += off
        self._latest = stamp
        self._in_a_row = 0
        return Seen.JUMPED if off > 0 else Seen.JUMPED_BACK
