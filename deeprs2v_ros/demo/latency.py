"""Where the time of an image went, from its stamp until its correction was on TF."""

from __future__ import annotations

from typing import Any

import numpy as np

from deeprs2v_ros.geometry import Array

STAGES = ("received", "transform", "network", "correction", "published")
"""Of an image, in their order."""

COLUMNS = ("until", "median, ms", "95 % within, ms", "of it in this stage, median, ms")

_WORDS = {
    "received": "the image was received",
    "transform": "the arm had said where the probe was",
    "network": "the network had answered, if it was asked",
    "correction": "the correction had converged",
    "published": "it was on TF",
}


def done_by(status: Any) -> tuple[float, ...]:
    """When each of `STAGES` was done by a status message, in ms after the stamp; NaN for what was never begun."""
    return tuple(1e3 * getattr(status, f"latency_{stage}") for stage in STAGES)


def stages(times: Array) -> list[tuple[str, float, float, float]]:
    """For each stage: its name, median and 95th percentile of when it was done, and the median of what it took.

    ``times`` (N, 5) are when each of `STAGES` was done, in ms after the stamp; NaN for one that was never begun. What a
    stage took counts from the one before.
    """
    times = np.asarray(times, float).reshape(-1, len(STAGES))
    found, before = [], np.zeros(len(times))
    for name, done in zip(STAGES, times.T, strict=True):
        known = np.isfinite(done)
        if known.any():
            median, most = np.percentile(done[known], [50, 95])
            found.append((name, float(median), float(most), float(np.median((done - before)[known]))))
        before = np.where(known, done, before)
    return found


def rows(times: Array) -> list[tuple[str, str, str, str]]:
    """The same as cells below `COLUMNS`."""
    return [(_WORDS[name], *(f"{value:.1f}" for value in values)) for name, *values in stages(times)]
