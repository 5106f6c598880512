"""The target over time: where it was, where it was broadcast, and by how much that was off."""

from __future__ import annotations

from itertools import groupby

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from deeprs2v_ros.demo.accuracy import WRONG, Summary, at_rest, distances, tracking_began, within
from deeprs2v_ros.demo.recording import Points, Recording
from deeprs2v_ros.geometry import Array
from deeprs2v_ros.pages import png

_TRUTH, _BROADCAST, _UNCORRECTED, _NOW, _LATEST = "black", "#0072B2", "#D55E00", "#009E73", "#CC79A7"
_SHADES = {"HOLDING": "#F0E442", "LOST": "#CC79A7", "INITIALISING": "#BBBBBB", "WAITING": "#DDDDDD", "FAULT": "#882255"}
_ALPHA = 0.35
_BEFORE = 10**9  # ns that are shown of the time before tracking


def target_plot(recording: Recording, summary: Summary) -> bytes:
    """PNG: the target along the direction in which it moves most, and its distance from the truth below.

    It begins shortly before tracking did.
    """
    figure = Figure(figsize=(12, 8.4), layout="constrained")
    above, below, close = figure.subplots(3, 1, sharex=True, height_ratios=[3, 2, 2])
    zero = tracking_began(recording)
    sources = (recording.truth, recording.target, recording.target_predicted, recording.target_now)
    truth, target, predicted, latest = (_since(points, zero - _BEFORE) for points in sources)
    rest = at_rest(recording, truth.stamps)
    direction = main_direction(truth.positions)
    if np.median((truth.positions - rest.positions) @ direction) < 0.0:
        direction = -direction  # breathing in counts as up

    def along(points: Points) -> Array:
        return (points.positions - rest.positions[0]) @ direction

    def seconds(points: Points) -> Array:
        return (points.stamps - zero) / 1e9

    above.plot(seconds(truth), along(truth), color=_TRUTH, linewidth=1.6, label="true position")
    above.plot(seconds(predicted), along(predicted), ".", color=_NOW, markersize=3, label="predicted to now")
    above.plot(
        seconds(target), along(target), ".", color=_BROADCAST, markersize=5, label="measured, at the image's time"
    )
    above.plot(seconds(rest), along(rest), "--", color=_UNCORRECTED, linewidth=1.6, label="without correction")
    above.set_ylabel("tumour along its main\ndirection of motion (mm)")

    known = np.isin(target.stamps, truth.stamps)
    measured = Points(target.stamps[known], target.positions[known])
    predicted, latest = (within(points, truth.stamps) for points in (predicted, latest))
    curves = (
        (rest, _UNCORRECTED, "--", "without correction", summary.uncorrected),
        (latest, _LATEST, "-", "latest measurement, when asked", summary.target_now),
        (predicted, _NOW, "-", "prediction, when asked", summary.target_predicted),
        (measured, _BROADCAST, ".", "measured, at the image's time", summary.target),
    )
    for points, colour, line, name, spread in curves:
        error = distances(points, truth)
        label = f"{name}: RMS {spread.rms:.2f} mm"
        below.plot(seconds(points), error, line, color=colour, linewidth=1.2, markersize=4, label=label)
        if points is not rest:
            close.plot(seconds(points), error, line, color=colour, linewidth=1.0, markersize=4)
    below.axhline(WRONG, color="0.35", linewidth=1.0, linestyle=":")
    below.set_ylabel("distance from\nthe truth (mm)")
    close.set(ylabel="the same,\nenlarged (mm)", xlabel="time since tracking began (s)")

    for axes in (above, below, close):
        shaded = _shade(axes, recording, zero)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.01)
    for axes in (below, close):
        axes.set_ylim(bottom=0)
    close.set_ylim(top=4.0)
    patches = [Patch(color=_SHADES[state], alpha=_ALPHA, label=state) for state in shaded]
    _legend(above, [*above.get_legend_handles_labels()[0], *patches])
    _legend(below, below.get_legend_handles_labels()[0])
    return png(figure, dpi=130)


def _legend(axes: Axes, handles: list[Artist]) -> None:
    """Above the ``axes``, where it hides nothing."""
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, frameon=False, fontsize=9)


def _since(points: Points, start: int) -> Points:
    later = points.stamps >= start
    return Points(points.stamps[later], points.positions[later])


def main_direction(positions: Array) -> Array:
    """Unit vector (3,) along which ``positions`` (N, 3) differ most."""
    return np.linalg.svd(positions - positions.mean(axis=0), full_matrices=False)[2][0]


def _shade(axes: Axes, recording: Recording, zero: int) -> list[str]:
    """Shade the times of every state but TRACKING; returns the states that occurred."""
    statuses = sorted(recording.statuses, key=lambda status: status.stamp)
    period = float(np.median(np.diff(np.sort(recording.images)))) if len(recording.images) > 1 else 0.0
    seen = []
    for state, group in groupby(
        (each for each in statuses if each.stamp >= zero - _BEFORE), key=lambda each: each.state
    ):
        if state in _SHADES:
            stamps = [status.stamp for status in group]
            ends = (stamps[0] - period / 2 - zero) / 1e9, (stamps[-1] + period / 2 - zero) / 1e9
            axes.axvspan(*ends, color=_SHADES[state], alpha=_ALPHA, linewidth=0)
            seen += [state] if state not in seen else []
    return seen
