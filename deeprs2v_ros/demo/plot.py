"""The target over time: where it was, where it was broadcast, and by how much that was off."""

from __future__ import annotations

from itertools import groupby

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from deeprs2v_ros.demo.accuracy import WRONG, Summary, at_rest, distances, tracking_began
from deeprs2v_ros.demo.recording import Points, Recording
from deeprs2v_ros.geometry import Array
from deeprs2v_ros.pages import png

_TRUTH, _BROADCAST, _UNCORRECTED = "black", "#0072B2", "#D55E00"
_SHADES = {"HOLDING": "#F0E442", "LOST": "#CC79A7", "INITIALISING": "#BBBBBB", "WAITING": "#DDDDDD", "FAULT": "#882255"}
_ALPHA = 0.35
_BEFORE = 10**9  # ns that are shown of the time before tracking


def target_plot(recording: Recording, summary: Summary) -> bytes:
    """PNG: the target along the direction in which it moves most, and its distance from the truth below.

    It begins shortly before tracking did.
    """
    figure = Figure(figsize=(12, 7.4), layout="constrained")
    above, below, close = figure.subplots(3, 1, sharex=True, height_ratios=[3, 2, 1.4])
    zero = tracking_began(recording)
    truth, target = (_since(points, zero - _BEFORE) for points in (recording.truth, recording.target))
    rest = at_rest(recording, truth.stamps)
    direction = main_direction(truth.positions)
    if np.median((truth.positions - rest.positions) @ direction) < 0.0:
        direction = -direction  # breathing in counts as up

    def along(points: Points) -> Array:
        return (points.positions - rest.positions[0]) @ direction

    def seconds(points: Points) -> Array:
        return (points.stamps - zero) / 1e9

    above.plot(seconds(truth), along(truth), color=_TRUTH, linewidth=1.6, label="true position")
    above.plot(seconds(target), along(target), ".", color=_BROADCAST, markersize=5, label="broadcast on TF")
    above.plot(seconds(rest), along(rest), "--", color=_UNCORRECTED, linewidth=1.6, label="without correction")
    above.set_ylabel("tumour along its main\ndirection of motion (mm)")

    known = np.isin(target.stamps, truth.stamps)
    looked_up = Points(target.stamps[known], target.positions[known])
    error = distances(looked_up, truth)
    label = f"broadcast: RMS {summary.target.rms:.2f} mm"
    without = f"without correction: RMS {summary.uncorrected.rms:.2f} mm"
    below.plot(seconds(looked_up), error, ".", color=_BROADCAST, markersize=5, label=label)
    below.plot(seconds(rest), distances(rest, truth), "--", color=_UNCORRECTED, linewidth=1.6, label=without)
    below.axhline(WRONG, color="0.35", linewidth=1.0, linestyle=":", label=f"{WRONG:g} mm: clinically acceptable")
    below.set_ylabel("distance from\nthe truth (mm)")
    close.plot(seconds(looked_up), error, ".-", color=_BROADCAST, linewidth=0.8, markersize=4)
    close.set(ylabel="broadcast,\nenlarged (mm)", xlabel="time since tracking began (s)")

    for axes in (above, below, close):
        shaded = _shade(axes, recording, zero)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.01)
    for axes in (below, close):
        axes.set_ylim(bottom=0)
    patches = [Patch(color=_SHADES[state], alpha=_ALPHA, label=state) for state in shaded]
    _legend(above, [*above.get_legend_handles_labels()[0], *patches])
    _legend(below, below.get_legend_handles_labels()[0])
    return png(figure, dpi=130)


def _legend(axes: Axes, handles: list[Artist]) -> None:
    """Above the ``axes``, where it hides nothing."""
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=len(handles), frameon=False)


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
