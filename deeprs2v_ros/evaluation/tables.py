"""The tables of a report: accuracy as in the paper's Table 1, what the gate let through, runtime, and every frame."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import dunnett

from deeprs2v_ros.evaluation.method import Method
from deeprs2v_ros.geometry import Array

SUCCESS = 10.0  # mm, the paper's limit for a successful registration
WRONG = 5.0  # mm, the clinical limit: a result beyond it that was accepted was shown as right and is wrong
_NONE = "-"
_SEED = 20241003  # Dunnett's p is an integral found by random sampling


@dataclass(frozen=True)
class Table:
    """Cells as text, with a ``title`` and a ``note`` on how to read them."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def to_csv(self) -> str:
        """The table as comma-separated values."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.columns, *self.rows])
        return text.getvalue()

    def to_markdown(self) -> str:
        """The table in Markdown, below its title."""
        lines = [self.columns, tuple("---" for _ in self.columns), *self.rows]
        body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return "\n\n".join(part for part in (f"# {self.title}", body, self.note) if part) + "\n"

    def to_text(self) -> str:
        """The table in columns for a terminal, below its title."""
        lines = (self.columns, *self.rows)
        widths = [max(len(line[index]) for line in lines) for index in range(len(self.columns))]
        body = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        return "\n".join(line.rstrip() for line in [self.title, *body])


def accuracy_table(methods: Sequence[Method]) -> Table:
    """The paper's Table 1. Each method is compared with the last one by Dunnett's test."""
    columns = ("method", "Tx", "Ty", "Tz (mm)", "Euclidean (mm)", "p", "Rx", "Ry", "Rz (deg)", "geodesic (deg)", "p")
    p_translation = _dunnett([method.errors.euclidean for method in methods])
    p_rotation = _dunnett([method.errors.geodesic for method in methods])
    rows = []
    for index, method in enumerate(methods):
        errors = method.errors
        by_axis = [f"{value:.2f}" for value in np.abs(errors.translation).mean(axis=0)]
        by_angle = [f"{value:.2f}" for value in np.abs(errors.euler).mean(axis=0)]
        success = np.count_nonzero(errors.euclidean < SUCCESS)
        translation = (*by_axis, _spread(errors.euclidean), p_translation[index])
        rotation = (*by_angle, _spread(errors.geodesic), p_rotation[index])
        rows.append((method.name, *translation, *rotation, f"{success}/{len(errors.euclidean)}"))
    note = "Mean absolute error along and about each axis; mean ± standard deviation."
    if len(methods) > 1:
        note += f" p: Dunnett's test against {methods[-1].name}."
    return Table("Registration error", (*columns, f"success (<{SUCCESS:g} mm)"), tuple(rows), note)


def reliability_table(methods: Sequence[Method]) -> Table:
    """The distribution of the translational error, and what was accepted."""
    columns = ("method", "frames", "median (mm)", "95 % (mm)", "<2 mm", "<5 mm", "<10 mm", "accepted")
    rows = []
    for method in methods:
        error = method.errors.euclidean
        below = [f"{np.mean(error < limit):.1%}" for limit in (2.0, 5.0, 10.0)]
        gate = (_NONE, _NONE)
        if method.rows:
            accepted = method.accepted
            wrong = np.count_nonzero(error[accepted] > WRONG)
            share = wrong / max(1, np.count_nonzero(accepted))
            gate = (f"{np.mean(accepted):.1%}", f"{wrong} ({share:.1%})")
        quantiles = [f"{value:.2f}" for value in np.percentile(error, (50, 95))]
        rows.append((method.name, str(len(error)), *quantiles, *below, *gate))
    note = f"Accepted but wrong: accepted frames whose image centre is more than {WRONG:g} mm off, and their share."
    return Table("Reliability", (*columns, f"accepted but wrong (>{WRONG:g} mm)"), tuple(rows), note)


def runtime_table(methods: Sequence[Method]) -> Table:
    """Milliseconds a frame."""
    columns = ("method", "mean (ms)", "median (ms)", "95 % (ms)", "slowest (ms)", "frames per second")
    rows = []
    for method in methods:
        if method.rows:
            mean, median = method.runtime.mean(), np.median(method.runtime)
            rest = (np.percentile(method.runtime, 95), method.runtime.max())
            rate = f"{1000.0 / mean:.1f}" if mean > 0 else _NONE
            rows.append((method.name, *(f"{value:.1f}" for value in (mean, median, *rest)), rate))
    return Table("Runtime", columns, tuple(rows), "Registration of one frame alone, after warm-up.")


def frame_table(methods: Sequence[Method]) -> Table:
    """Every registered frame: its errors, and what the method said of it."""
    columns = (
        "method", "frame", "status", "reason", "tx_mm", "ty_mm", "tz_mm", "euclidean_mm", "rx_deg", "ry_deg", "rz_deg",
        "geodesic_deg", "lncc", "overlap", "runtime_ms",
    )  # fmt: skip
    rows = []
    for method in methods:
        errors = method.errors
        for index, row in enumerate(method.rows):
            values = (
                *errors.translation[index], errors.euclidean[index], *errors.euler[index], errors.geodesic[index],
                row.lncc, row.overlap, row.runtime_ms,
            )  # fmt: skip
            numbers = (f"{value:.6g}" for value in values)
            rows.append((method.name, str(row.frame), row.status, row.reason, *numbers))
    return Table("Frames", columns, tuple(rows))


def _spread(values: Array) -> str:
    return f"{values.mean():.2f} ± {values.std():.2f}"


def _dunnett(samples: Sequence[Array]) -> list[str]:
    """Dunnett's p of each sample against the last one, as text; a dash for the last, and where no test can be made."""
    *others, control = samples
    if not others or min(len(sample) for sample in samples) < 2:
        return [_NONE] * len(samples)
    if sum(np.var(sample) for sample in samples) == 0.0:
        return [_NONE] * len(samples)
    p_values = dunnett(*others, control=control, random_state=_SEED).pvalue
    return ["<0.001" if p < 0.001 else f"{p:.3f}" for p in p_values] + [_NONE]
