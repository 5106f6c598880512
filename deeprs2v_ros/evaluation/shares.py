"""Shares of a count, with how sure they are."""

from __future__ import annotations

import math
from typing import NamedTuple

_Z = 1.959964  # of the normal distribution, 95 % in the middle


class Share(NamedTuple):
    """``count`` of ``total``, and the ends of the 95 % interval of the share that it estimates."""

    count: int
    total: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share itself; NaN of nothing."""
        return self.count / self.total if self.total else math.nan

    def __str__(self) -> str:
        """Count, total and interval, as ``34/35 (85 to 99 %)``."""
        return f"{self.count}/{self.total} ({100 * self.low:.0f} to {100 * self.high:.0f} %)" if self.total else "-"


def wilson(count: int, total: int) -> Share:
    """Wilson's score interval (1927), which holds for few trials and for shares near 0 and 1; 0 to 1 of no trial."""
    if total == 0:
        return Share(0, 0, 0.0, 1.0)
    share, spread = count / total, _Z**2 / total
    middle = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    # Rounding must not push an end past the share where the interval ends at 0 or 1.
    return Share(int(count), int(total), max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share)))
