"""The capture range: how often a method succeeds, by how far off it started."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deeprs2v_ros.evaluation.method import Method
from deeprs2v_ros.evaluation.shares import Share, wilson
from deeprs2v_ros.evaluation.tables import CLOSE, SUCCESS, Table
from deeprs2v_ros.geometry import Array
from deeprs2v_ros.pages import png

BIN = 4.0  # mm
LIMITS = (CLOSE, SUCCESS)  # mm


def bin_edges(methods: Sequence[Method]) -> Array:
    """Edges (mm) of the bins of the start's error, from 0 until all starts of all ``methods`` are in one."""
    farthest = max(float(np.nanmax(method.before)) for method in methods)
    return BIN * np.arange(int(farthest // BIN) + 2)


def successes(method: Method, edges: Array, limit: float) -> list[Share]:
    """For each bin of the start's error, how many frames ended less than ``limit`` mm off."""
    shares = []
    for low, high in pairwise(edges):
        began = (method.before >= low) & (method.before < high)
        home = np.count_nonzero(method.errors.euclidean[began] < limit)
        shares.append(wilson(home, np.count_nonzero(began)))
    return shares


def capture_table(methods: Sequence[Method]) -> Table:
    """Success within each of `LIMITS` by the start's error."""
    edges = bin_edges(methods)
    bins = [f"{low:g}-{high:g} mm" for low, high in pairwise(edges)]
    rows = [
        (method.name, f"<{limit:g} mm", *map(str, successes(method, edges, limit)))
        for limit in LIMITS
        for method in methods
    ]
    note = "By the error before registration, at the image centre. In brackets: Wilson's 95 % interval."
    return Table("Capture range", ("method", "success", *bins), tuple(rows), note)


def capture_figure(methods: Sequence[Method]) -> bytes:
    """PNG: share of success by the start's error, one panel for each of `LIMITS`."""
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    panels = figure.subplots(1, len(LIMITS), sharey=True)
    edges = bin_edges(methods)
    for axes, limit in zip(panels, LIMITS, strict=True):
        for index, method in enumerate(methods):
            _curve(axes, index - (len(methods) - 1) / 2, method, edges, limit)
        axes.set(xlim=(0, edges[-1]), ylim=(-0.02, 1.02), xlabel="error before registration (mm)", xticks=edges)
        axes.set_title(f"share of frames that end less than {limit:g} mm off", fontsize=10, pad=18)
        axes.grid(alpha=0.25)
    most = max(methods, key=lambda method: len(method.frames))
    for axes in panels:
        for low, share in zip(edges[:-1], successes(most, edges, SUCCESS), strict=True):
            place = (low + BIN / 2, 1.02)
            axes.text(*place, f"n {share.total}", transform=axes.get_xaxis_transform(), ha="center", fontsize=7)
    panels[-1].legend(loc="lower left", fontsize=8)
    return png(figure, dpi=150)


def _curve(axes: Axes, place: float, method: Method, edges: Array, limit: float) -> None:
    """One method's curve with its intervals, moved aside by ``place`` so that those of several do not overlap."""
    middles = (edges[:-1] + edges[1:]) / 2 + 0.15 * place
    shares = successes(method, edges, limit)
    known = np.array([share.total > 0 for share in shares])
    values, low, high = (np.array([getattr(s, name) for s in shares])[known] for name in ("value", "low", "high"))
    axes.errorbar(
        middles[known], values, [values - low, high - values], marker="o", markersize=4, linewidth=1.6, elinewidth=0.8,
        capsize=2, label=method.name,
    )  # fmt: skip
