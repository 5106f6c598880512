"""The figures of a report."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deeprs2v_ros.evaluation.method import Method
from deeprs2v_ros.evaluation.tables import SUCCESS, WRONG

_SMALLEST = 0.01  # mm or deg, left end of the axes


def distribution_figure(methods: Sequence[Method]) -> bytes:
    """PNG: share of frames with at most a given error, of translation and of rotation, for each method."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _distribution(left, methods, [method.errors.euclidean for method in methods], "translational error (mm)")
    _distribution(right, methods, [method.errors.geodesic for method in methods], "rotational error (deg)")
    left.axvline(WRONG, color="0.5", linewidth=0.8, linestyle=":")
    left.annotate(f"{WRONG:g} mm", (WRONG, 0.02), xytext=(3, 0), textcoords="offset points", color="0.4", fontsize=8)
    left.set_ylabel("share of frames")
    right.legend(loc="upper left", fontsize=8)
    return _png(figure)


def start_figure(start: Method, methods: Sequence[Method]) -> bytes:
    """PNG: each frame's error after registration over its error before, for methods with the frames of ``start``."""
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    before = start.errors.euclidean
    for index, method in enumerate(methods):
        after = np.maximum(method.errors.euclidean, _SMALLEST)
        accepted = method.accepted
        colour = f"C{index}"
        axes.scatter(before[accepted], after[accepted], s=12, color=colour, label=method.name)
        axes.scatter(before[~accepted], after[~accepted], s=20, color=colour, marker="x", linewidth=0.8)
    reach = max(float(before.max()), SUCCESS)
    line = np.linspace(_SMALLEST, reach, 200)
    axes.plot(line, line, color="0.6", linewidth=0.8, label="no change")
    axes.axhline(WRONG, color="0.5", linewidth=0.8, linestyle=":")
    axes.set(xlim=(0, 1.03 * reach), yscale="log")
    axes.set(xlabel="error before registration (mm)", ylabel="error after registration (mm)")
    axes.set_title("translational error (crosses: rejected)", fontsize=10)
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right", fontsize=8)
    return _png(figure)


def _distribution(axes: Axes, methods: Sequence[Method], errors: Sequence[np.ndarray], label: str) -> None:
    largest = max(error.max() for error in errors)
    end = max(10.0, 1.2 * largest)
    for method, error in zip(methods, errors, strict=True):
        ordered = np.sort(np.maximum(error, _SMALLEST))
        share = np.arange(1, len(ordered) + 1) / len(ordered)
        steps = (np.concatenate([[_SMALLEST], ordered, [end]]), np.concatenate([[0.0], share, [1.0]]))
        # The poses before registration have no rows; they are the line to beat.
        style = {"color": "0.35", "linestyle": "--"} if not method.rows else {}
        axes.step(*steps, where="post", label=method.name, linewidth=1.6, **style)
    axes.set(xscale="log", xlim=(_SMALLEST, end), ylim=(0, 1.02), xlabel=label)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(which="both", alpha=0.2)


def _png(figure: Figure) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=150, metadata={"Software": None})
    return picture.getvalue()
