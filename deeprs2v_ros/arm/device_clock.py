"""When samples were taken, on the host's clock, by the times that the device's own clock gave them.

A sample arrives late by the time it was under way, which varies: USB adapters deliver in bursts, hosts are busy. But it
never arrives early. So the offset between the clocks is the lower envelope of arrival - time: the least value over a
window, and ``stamp = time + offset``.

With w the window, d the drift between the clocks and u the shortest time under way within w, stamps are off by
-d w to u, negative is early. With crystals, d < 1e-4, that is -0.2 ms to u. The first samples have little to compare
with: until one arrives at once, all are as late as the least late of them, at most one burst.
"""

from __future__ import annotations

from collections import deque

WINDOW = 2_000_000_000
"""In ns. Longer follows drift less closely; shorter may not see any sample that came at once."""


class DeviceClock:
    """The host's time of a device's time, both in whole ns, from what was observed within `WINDOW`."""

    def __init__(self) -> None:
        self._lowest: deque[tuple[int, int]] = (
            deque()
        )  # (arrival, arrival - time), both growing: the minimum is in front

    def observe(self, time: int, arrival: int) -> None:
        """Take note of a sample of the device's ``time`` that was here at ``arrival``; arrivals never go back."""
        difference = arrival - time
        while self._lowest and self._lowest[-1][1] >= difference:
            self._lowest.pop()
        self._lowest.append((arrival, difference))
        while self._lowest[0][0] < arrival - WINDOW:
            self._lowest.popleft()

    def stamp(self, time: int) -> int:
        """The host's time at the device's ``time``, after at least one observation."""
        return time + self._lowest[0][1]
