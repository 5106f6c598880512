"""One picture of all faults: the errors over time, over the states as a subscriber sees them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from trust.judging import WRONG, Course, Said, Verdict

COLOURS = {
    "TRACKING": "#b7e4c7",
    "HOLDING": "#ffe8a1",
    "LOST": "#f6b6b6",
    "FAULT": "#d98080",
    "INITIALISING": "#cfe2ff",
    "WAITING": "#e3e3e3",
    "INACTIVE": "#f5f5f5",
}
BEFORE, AFTER, TOP, COLUMNS = 1.0, 2.5, 12.0, 5


def draw(rows: Sequence[tuple[str, Course, Verdict]], path: Path) -> None:
    """Write the picture to ``path``; what is farther off than the axis goes is drawn at its end."""
    lines = math.ceil(len(rows) / COLUMNS)
    figure = Figure(figsize=(4.0 * COLUMNS, 1.9 * lines + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    for number, (name, course, verdict) in enumerate(rows):
        axes = figure.add_subplot(lines, COLUMNS, number + 1)
        _draw_one(axes, course)
        axes.set_title(name, fontsize=9, color="firebrick" if verdict.complaints else "black")
    patches = [Patch(color=colour, label=state) for state, colour in COLOURS.items()]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), fontsize=9)
    figure.suptitle(
        "mm at the target over s since the last good datum; dots: accepted images, blue: predicted, grey: as last "
        "corrected; dashed: the first good datum",
        fontsize=10,
    )
    figure.savefig(path, dpi=70)


def _draw_one(axes: Axes, course: Course) -> None:
    end = course.ended - course.began + AFTER
    changes = [each for each, before in zip(course.said, [None, *course.said], strict=False) if _differ(each, before)]
    times = [each.at - course.began for each in changes] + [end]
    for said, begin, until in zip(changes, times[:-1], times[1:], strict=True):
        axes.axvspan(begin, until, color=COLOURS.get(said.state, "white"), linewidth=0)
    for answers, colour in ((course.now, "0.5"), (course.predicted, "tab:blue")):
        at = [each.at - course.began for each in answers]
        axes.plot(at, [min(each.error, TOP) for each in answers], ".", color=colour, markersize=1.5)
    shown = [each for each in course.said if each.as_right]
    at = [each.at - course.began for each in shown]
    axes.plot(at, [min(each.error, TOP) for each in shown], "o", color="black", markersize=2.0)
    axes.axhline(WRONG, color="firebrick", linewidth=0.7)
    axes.axvline(0.0, color="black", linewidth=0.7)
    axes.axvline(course.ended - course.began, color="black", linewidth=0.7, linestyle="--")
    axes.set_xlim(-BEFORE, end)
    axes.set_ylim(0.0, 1.05 * TOP)
    axes.tick_params(labelsize=7)


def _differ(said: Said, before: Said | None) -> bool:
    return before is None or said.state != before.state
