"""A sine quick enough to be taken for every scatterer."""

from __future__ import annotations

import math

from numba import njit


@njit(nogil=True, cache=True, inline="always")
def sine_of_turns(turns: float) -> float:
    """sin(2 pi ``turns``) to 4e-6: folded into a quarter turn on either side of zero, then Taylor's series to y^9."""
    turns -= math.floor(turns + 0.5)
    turns = min(max(turns, -0.5 - turns), 0.5 - turns)
    y = 2.0 * math.pi * turns
    square = y * y
    return y * (1.0 - square / 6.0 * (1.0 - square / 20.0 * (1.0 - square / 42.0 * (1.0 - square / 72.0))))
