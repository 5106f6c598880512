"""The tables of a report: the paper's 1 to 3, what the gate let through, and every frame."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import dunnett

from deeprs2v_ros.evaluation.method import Method, clip_names
from deeprs2v_ros.geometry import Array

CLOSE = 2.0  # mm: a result that is right
SUCCESS = 10.0  # mm, the paper's limit for a successful registration
WRONG = 5.0  # mm, the clinical limit: a result beyond it that was accepted was shown as right and is wrong
_NONE = "-"
_NO_SPREAD = 1e-9  # mm or deg: differences of rounding alone
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
    return Table("Table 1: registration error", (*columns, f"success (<{SUCCESS:g} mm)"), tuple(rows), note)


def reliability_table(methods: Sequence[Method]) -> Table:
    """The distribution of the translational error, and what was accepted."""
    limits = (f"<{limit:g} mm" for limit in (CLOSE, WRONG, SUCCESS))
    columns = ("method", "frames", "median (mm)", "95 % (mm)", *limits, "accepted")
    rows = []
    for method in methods:
        error = method.errors.euclidean
        below = [f"{np.mean(error < limit):.1%}" for limit in (CLOSE, WRONG, SUCCESS)]
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


def target_table(methods: Sequence[Method]) -> Table:
    """The paper's Table 2: TRE at the landmarks, of all clips together, and of each that has any."""
    counts = {clip: len(methods[0].of_clip(clip).target_errors) for clip in clip_names(methods)}
    clips = [clip for clip, count in counts.items() if count] if len(counts) > 1 else []
    rows = []
    for method in methods:
        parts = (method, *(method.of_clip(clip) for clip in clips))
        rows.append((method.name, *(_spread(part.target_errors) for part in parts)))
    columns = ("method", f"TRE (mm), n {sum(counts.values())}", *(f"{clip}, n {counts[clip]}" for clip in clips))
    note = (
        "Mean ± standard deviation of |Y p - y|, where a landmark of the volume at y is shown at p, and Y is the "
        "registered pose, accepted or not."
    )
    return Table("Table 2: target registration error", columns, tuple(rows), note)


def runtime_table(methods: Sequence[Method], machine: str = "") -> Table:
    """The paper's Table 3: milliseconds a frame, on the ``machine`` named."""
    columns = ("method", "mean (ms)", "median (ms)", "95 % (ms)", "slowest (ms)", "frames per second")
    rows = []
    for method in methods:
        if method.rows:
            mean, median = method.runtime.mean(), np.median(method.runtime)
            rest = (np.percentile(method.runtime, 95), method.runtime.max())
            rate = f"{1000.0 / mean:.1f}" if mean > 0 else _NONE
            rows.append((method.name, *(f"{value:.1f}" for value in (mean, median, *rest)), rate))
    note = f"Registration of one frame alone, after warm-up{f'; {machine}' if machine else ''}."
    return Table("Table 3: runtime", columns, tuple(rows), note)


def frame_table(methods: Sequence[Method]) -> Table:
    """Every registered frame: its errors, how far off it began (mm), and what the method said of it."""
    columns = (
        "method", "clip", "frame", "status", "reason", "tx_mm", "ty_mm", "tz_mm", "euclidean_mm", "rx_deg", "ry_deg",
        "rz_deg", "geodesic_deg", "before_mm", "lncc", "overlap", "runtime_ms",
    )  # fmt: skip
    rows = []
    for method in methods:
        errors = method.errors
        for index, row in enumerate(method.rows):
            values = (
                *errors.translation[index], errors.euclidean[index], *errors.euler[index], errors.geodesic[index],
                method.before[index], row.lncc, row.overlap, row.runtime_ms,
            )  # fmt: skip
            numbers = (f"{value:.6g}" for value in values)
            rows.append((method.name, method.clips[index], str(row.frame), row.status, row.reason, *numbers))
    return Table("Frames", columns, tuple(rows))


def _spread(values: Array) -> str:
    return f"{values.mean():.2f} ± {values.std():.2f}"


def _dunnett(samples: Sequence[Array]) -> list[str]:
    """Dunnett's p of each sample against the last one, as text; a dash for the last, and where no test can be made."""
    *others, control = samples
    if not others or min(len(sample) for sample in samples) < 2:
        return [_NONE] * len(samples)
    if max(np.std(sample) for sample in samples) < _NO_SPREAD:
        return [_NONE] * len(samples)
    p_values = dunnett(*others, control=control, random_state=_SEED).pvalue
    return ["<0.001" if p < 0.001 else f"{p:.3f}" for p in p_values] + [_NONE]
