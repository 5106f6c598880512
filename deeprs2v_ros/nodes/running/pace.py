"""How often something is sent that could be sent with every sample."""

from __future__ import annotations

from deeprs2v_ros.nodes.topics.conversions import SECOND


class Pace:
    """Picks samples by their stamps (ns): evenly, ``rate`` a second or, if they come more seldom, all of them."""

    def __init__(self, rate: float) -> None:
        self._period = round(SECOND / rate)
        self.reset()

    def reset(self) -> None:
        """The next sample is picked, for a clock that jumped back."""
        self._before: int | None = None
        self._next = 0

    def due(self, stamp: int) -> bool:
        """Whether this sample is picked. One that is older than the sample before it is: stamps started over.

        Of the samples around the moment when one is due, it is the nearest, so that jitter does not make it the next.
        """
        interval = None if self._before is None else stamp - self._before
        self._before = stamp
        if interval is not None and interval >= 0 and stamp + interval // 2 < self._next:
            return False
        # On the grid of the period while samples keep up with it, so that the rate is met on average.
        on_grid = interval is not None and abs(stamp - self._next) < self._period
        self._next = (self._next if on_grid else stamp) + self._period
        return True
