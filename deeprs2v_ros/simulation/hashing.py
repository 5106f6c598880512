"""Random numbers that are a function of integers, so that nothing random has to be stored or drawn in order."""

from __future__ import annotations

import numpy as np
from numba import njit

_SHIFT_A, _SHIFT_B, _SHIFT_C = np.uint64(30), np.uint64(27), np.uint64(31)
_FACTOR_A, _FACTOR_B = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_TOP_BITS, _UNIT = np.uint64(11), 2.0**-53


@njit(nogil=True, cache=True, inline="always")
def scramble(key: np.uint64) -> np.uint64:
    """Sixty-four well-mixed bits of a 64-bit ``key`` (as SplitMix64 does; Steele et al., OOPSLA 2014)."""
    key = (key ^ (key >> _SHIFT_A)) * _FACTOR_A
    key = (key ^ (key >> _SHIFT_B)) * _FACTOR_B
    return key ^ (key >> _SHIFT_C)


@njit(nogil=True, cache=True)
def uniform(seed: int, index: int, channel: int) -> float:
    """A number in [0, 1) for the integers (``seed``, ``index``, ``channel``), each of any sign."""
    key = scramble(np.uint64(seed) + _STEP)
    key = scramble(key ^ np.uint64(index)) + _STEP
    key = scramble(key ^ np.uint64(channel))
    return np.float64(key >> _TOP_BITS) * _UNIT
