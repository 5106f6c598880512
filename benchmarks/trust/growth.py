"""Whether something grows: a slope that a few steps do not fool, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import theilslopes

HOUR = 3600.0  # s
BLOCKS = 8
"""Parts that a recording is cut into: samples beside each other say nearly the same, parts do not."""


@dataclass(frozen=True)
class Slope:
    """Per hour: the median of the slopes between all pairs of samples, and between which two it lies (95 %)."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.2f} ({self.low:+.2f} to {self.high:+.2f})"


def slope(times: Sequence[float], values: Sequence[float]) -> Slope:
    """How fast ``values`` grow over ``times`` (s) (Theil 1950, Sen 1968).

    How sure that is comes from the medians of `BLOCKS` parts. Raises ValueError for fewer samples than two a part.
    """
    times, values = np.asarray(times, dtype=float), np.asarray(values, dtype=float)
    if len(times) < 2 * BLOCKS:
        raise ValueError(f"slope: needs {2 * BLOCKS} samples or more, not {len(times)}")
    value = theilslopes(values, times)[0]
    middles = [[np.median(part) for part in np.array_split(each, BLOCKS)] for each in (values, times)]
    _, _, low, high = theilslopes(*middles, alpha=0.95)
    return Slope(*(float(HOUR * each) for each in (value, low, high)))
