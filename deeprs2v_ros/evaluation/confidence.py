"""Whether a method knows when it is right: what the gate let through, and whether its score orders frames by error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from deeprs2v_ros.evaluation.method import Method
from deeprs2v_ros.evaluation.shares import wilson
from deeprs2v_ros.evaluation.tables import CLOSE, WRONG, Table
from deeprs2v_ros.geometry import Array
from deeprs2v_ros.pages import png

_KINDS = (f"right (<{CLOSE:g} mm)", "between", f"wrong (>{WRONG:g} mm)")
_COLOURS = ("#0072B2", "#E6C229", "#D55E00")


def kinds(method: Method) -> NDArray[np.int64]:
    """0 where a frame's result is right, 1 between, 2 wrong, (N,)."""
    error = method.errors.euclidean
    return np.where(error < CLOSE, 0, np.where(error > WRONG, 2, 1))


def confidence_table(methods: Sequence[Method]) -> Table:
    """Accepted and rejected against right and wrong."""
    columns = (
        "method", "accepted: right", "between", "wrong", "rejected: right", "between", "wrong", "accepted of the right",
        "wrong of the accepted", "AURC",
    )  # fmt: skip
    rows = []
    for method in methods:
        kind, accepted = kinds(method), method.accepted
        passed, stopped = np.bincount(kind[accepted], minlength=3), np.bincount(kind[~accepted], minlength=3)
        shares = (wilson(passed[0], passed[0] + stopped[0]), wilson(passed[2], passed.sum()))
        area = risk_coverage(method)[1].mean()
        rows.append((method.name, *map(str, (*passed, *stopped, *shares)), f"{area:.3f}"))
    note = (
        f"{', '.join(_KINDS)}, at the image centre. In brackets: Wilson's 95 % interval. AURC: area under the "
        "risk-coverage curve of LNCC, the mean share of wrong results over all thresholds; less is better."
    )
    return Table("Confidence", columns, tuple(rows), note)


def risk_coverage(method: Method) -> tuple[Array, Array]:
    """Coverage and risk, both (N,): the share of wrong results among the frames of highest LNCC, for every share.

    Of frames whose LNCC is the same none can be shown without the others, so they count at their common risk. A frame
    without LNCC comes last.
    """
    score = np.array([row.lncc for row in method.rows])
    score = np.where(np.isnan(score), -np.inf, score)
    order = np.argsort(-score, kind="stable")
    wrong = np.cumsum(kinds(method)[order] == 2)
    last = np.searchsorted(-score[order], -score[order], side="right") - 1
    shown = np.arange(1, len(order) + 1)
    return shown / len(order), (wrong / shown)[last]


def risk_coverage_table(methods: Sequence[Method]) -> Table:
    """The curves of `risk_coverage`, point by point."""
    rows = [
        (method.name, f"{coverage:.6g}", f"{risk:.6g}")
        for method in methods
        for coverage, risk in zip(*risk_coverage(method), strict=True)
    ]
    return Table("Risk and coverage", ("method", "coverage", "risk"), tuple(rows))


def confidence_figure(methods: Sequence[Method]) -> bytes:
    """PNG: what was accepted and rejected, right and wrong; and each method's risk-coverage curve, with its gate."""
    figure = Figure(figsize=(12, 1.6 + max(2.6, 0.62 * len(methods))), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _bars(left, methods)
    for index, method in enumerate(methods):
        coverage, risk = risk_coverage(method)
        right.plot(coverage, risk, color=f"C{index}", linewidth=1.6, label=method.name)
        accepted = method.accepted
        if accepted.any():
            gate = np.mean(accepted), np.mean(kinds(method)[accepted] == 2)
            right.plot(*gate, "o", color=f"C{index}", markersize=7, markeredgecolor="black", clip_on=False, zorder=3)
    right.set(xlim=(0, 1.01), xlabel="coverage: share of frames shown, highest LNCC first")
    right.set_ylabel(f"risk: share of them wrong (>{WRONG:g} mm)")
    right.set_title("risk against coverage (circles: the gate)", fontsize=10)
    right.grid(alpha=0.25)
    right.legend(loc="best", fontsize=8)
    return png(figure, dpi=150)


def _bars(axes: Axes, methods: Sequence[Method]) -> None:
    """For each method, a bar of what was accepted over a pale one of what was rejected."""
    for index, method in enumerate(methods):
        for chosen, shift, alpha in ((method.accepted, -0.19, 1.0), (~method.accepted, 0.19, 0.45)):
            shares = np.bincount(kinds(method)[chosen], minlength=3) / len(chosen)
            begins = np.cumsum(shares) - shares
            for colour, begin, share, kind in zip(_COLOURS, begins, shares, _KINDS, strict=True):
                label = kind if index == 0 and alpha == 1.0 else None
                axes.barh(index + shift, share, 0.34, begin, color=colour, alpha=alpha, label=label)
    axes.set(ylim=(len(methods) - 0.5, -0.5), xlim=(0, 1), xlabel="share of all frames")
    axes.set_yticks(range(len(methods)), [method.name for method in methods])
    axes.set_title("accepted (above) and rejected (below, pale)", fontsize=10)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, fontsize=8, frameon=False)
