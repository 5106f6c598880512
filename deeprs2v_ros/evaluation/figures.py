"""The figures of a report: distributions of errors, and what became of each frame."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deeprs2v_ros.evaluation.method import Method, clip_names
from deeprs2v_ros.evaluation.tables import SUCCESS, WRONG
from deeprs2v_ros.geometry import Array
from deeprs2v_ros.pages import png

_SMALLEST = 0.01  # mm or deg, left end of the axes


def distribution_figure(methods: Sequence[Method]) -> bytes:
    """PNG: share of frames with at most a given error, of translation and of rotation, for each method."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, attribute, label in (
        (left, "euclidean", "translational error (mm)"),
        (right, "geodesic", "rotational error (deg)"),
    ):
        errors = [getattr(method.errors, attribute) for method in methods]
        _distribution(axes, methods, errors, max(10.0, *(1.2 * error.max() for error in errors)))
        axes.set_xlabel(label)
    left.axvline(WRONG, color="0.5", linewidth=0.8, linestyle=":")
    left.annotate(f"{WRONG:g} mm", (WRONG, 0.02), xytext=(3, 0), textcoords="offset points", color="0.4", fontsize=8)
    left.set_ylabel("share of frames")
    right.legend(loc="upper left", fontsize=8)
    return png(figure, dpi=150)


def clips_figure(methods: Sequence[Method]) -> bytes:
    """PNG: the paper's Fig. 7. Share of frames with at most a given translational error, one panel for each clip."""
    clips = clip_names(methods)
    columns = min(len(clips), 4 if len(clips) <= 12 else 6)
    rows = math.ceil(len(clips) / columns)
    figure = Figure(figsize=(12, 0.9 + 2.6 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    end = max(10.0, *(1.2 * method.errors.euclidean.max() for method in methods))
    for axes, clip in zip(panels, clips, strict=False):
        parts = [method.of_clip(clip) for method in methods]
        _distribution(axes, parts, [part.errors.euclidean for part in parts], end)
        axes.axvline(WRONG, color="0.5", linewidth=0.8, linestyle=":")
        axes.set_title(clip, fontsize=9)
    for axes in panels[len(clips) :]:
        axes.set_visible(False)
    for axes in panels[len(clips) - columns : len(clips)]:
        axes.tick_params(labelbottom=True)
    figure.supxlabel("translational error (mm)", fontsize=10)
    figure.supylabel("share of frames", fontsize=10)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(len(labels), 6), fontsize=8, frameon=False)
    return png(figure, dpi=150)


def start_figure(methods: Sequence[Method]) -> bytes:
    """PNG: each frame's error after registration over its error before."""
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    for index, method in enumerate(methods):
        before, after = method.before, np.maximum(method.errors.euclidean, _SMALLEST)
        accepted = method.accepted
        colour = f"C{index}"
        axes.scatter(before[accepted], after[accepted], s=12, color=colour, label=method.name)
        axes.scatter(before[~accepted], after[~accepted], s=20, color=colour, marker="x", linewidth=0.8)
    reach = max(SUCCESS, *(float(np.nanmax(method.before)) for method in methods))
    line = np.linspace(_SMALLEST, reach, 200)
    axes.plot(line, line, color="0.6", linewidth=0.8, label="no change")
    axes.axhline(WRONG, color="0.5", linewidth=0.8, linestyle=":")
    axes.set(xlim=(0, 1.03 * reach), yscale="log")
    axes.set(xlabel="error before registration (mm)", ylabel="error after registration (mm)")
    axes.set_title("translational error (crosses: rejected)", fontsize=10)
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right", fontsize=8)
    return png(figure, dpi=150)


def _distribution(axes: Axes, methods: Sequence[Method], errors: Sequence[Array], end: float) -> None:
    """The empirical distribution function of each method's ``errors``, drawn up to ``end``."""
    for method, error in zip(methods, errors, strict=True):
        ordered = np.sort(np.maximum(error, _SMALLEST))
        share = np.arange(1, len(ordered) + 1) / len(ordered)
        steps = (np.concatenate([[_SMALLEST], ordered, [end]]), np.concatenate([[0.0], share, [1.0]]))
        # The poses before registration have no rows; they are the line to beat.
        style = {"color": "0.35", "linestyle": "--"} if not method.rows else {}
        axes.step(*steps, where="post", label=method.name, linewidth=1.6, **style)
    axes.set(xscale="log", xlim=(_SMALLEST, end), ylim=(0, 1.02))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(which="both", alpha=0.2)
