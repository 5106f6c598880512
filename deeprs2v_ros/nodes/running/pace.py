"""How often something is sent that could be sent with every sample."""

from __future__ import annotations

from deeprs2v_ros.nodes.topics.conversions import SECOND


class Pace:
    """Picks samples by their stamps (ns), evenly: ``rate`` a second, or all of them if they come less often."""

    def __init__(self, rate: float) -> None:
        self._period = round(SECOND / rate)
        self.reset()

    def reset(self) -> None:
        """Pick the next sample in any case, as after a clock that jumped back."""
        self._before: int | None = None
        self._next = 0

    def due(self, stamp: int) -> bool:
        """Whether this sample is picked. One that is older than the last always is, since stamps have started over.

        When one is due, the sample nearest to that moment is picked, so that jitter does not put it off to the next.
        """
        interval = None if self._before is None else stamp - self._before
        self._before = stamp
        if interval is not None and interval >= 0 and stamp + interval // 2 < self._next:
            return False
        # On the grid of the period while samples keep up with it, so that the rate is met on average.
        on_grid = interval is not None and abs(stamp - self._next) < self._period
        self._next = (self._next if on_grid else stamp) + self._period
        return True
