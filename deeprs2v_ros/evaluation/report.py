"""The report folder: tables as CSV and Markdown, figures, and one page that shows them all without any other file."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from deeprs2v_ros.evaluation.capture import capture_figure, capture_table
from deeprs2v_ros.evaluation.confidence import confidence_figure, confidence_table, risk_coverage_table
from deeprs2v_ros.evaluation.figures import clips_figure, distribution_figure, start_figure
from deeprs2v_ros.evaluation.method import Method, clip_names, pooled
from deeprs2v_ros.evaluation.tables import (
    Table,
    accuracy_table,
    frame_table,
    reliability_table,
    runtime_table,
    target_table,
)
from deeprs2v_ros.files import write_folder
from deeprs2v_ros.pages import heading, page, paragraph, picture, table

_NOT_ALWAYS = re.compile(
    r"(table1|table2|reliability|runtime|per_frame|cdf|cdf_clips|start_final|capture|confidence|risk_coverage)"
    r"(_x[\d.]+)?\.(csv|md|png)"
)
"""Names of files that some reports have and others have not."""

_ERRORS = (
    "Errors: reference⁻¹ · result at the image centre, in the frame of the reference image (x across, y down, z out of "
    "the plane)."
)


@dataclass(frozen=True)
class Condition:
    """Methods that were run on the same frames from the same poses.

    ``name`` is "" if there is only one condition. ``start`` holds the poses before registration and ``truth`` the true
    ones, where they are known and there are landmarks.
    """

    name: str
    methods: tuple[Method, ...]
    start: Method | None = None
    truth: Method | None = None

    @property
    def compared(self) -> list[Method]:
        """The methods, after the poses before registration."""
        return [*([self.start] if self.start else []), *self.methods]


class _Contents:
    """Files of a report by name, and the sections of its page."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.sections: list[str] = []

    def add_table(self, name: str, content: Table, title: str = "") -> None:
        """Add a table under the file's ``name``; it goes on the page under its ``title``."""
        self.files |= {f"{name}.csv": content.to_csv().encode(), f"{name}.md": content.to_markdown().encode()}
        rows = table(content.rows, content.columns, numbers=True)
        self.sections += [heading(title or content.title), rows, paragraph(content.note)]

    def add_figure(self, name: str, content: bytes, title: str) -> None:
        """Add a figure under the file's ``name``, and under its ``title`` on the page."""
        self.files[f"{name}.png"] = content
        self.sections += [heading(title), picture(content, title)]


def write_report(
    folder: str | Path, conditions: Sequence[Condition], sources: Sequence[str], machine: str = ""
) -> list[Table]:
    """Write the report of ``conditions``, which have the same methods, into ``folder``; return their main tables.

    Tables 1 to 3 and the distributions are made for each condition; the capture range and the confidence of all frames
    of all conditions together. ``sources`` are lines that say which files the results came from, ``machine`` what the
    methods were run on, where that is known. The folder appears whole or not at all; files of an earlier report in it
    are replaced, others are left alone.

    Raises InputError when ``folder`` is a file, or the folder that is to hold it does not exist or cannot be written.
    """
    contents = _Contents()
    main = [_add_condition(contents, condition, machine) for condition in conditions]
    methods = [pooled(parts) for parts in zip(*(condition.methods for condition in conditions), strict=True)]
    if all(np.isfinite(method.before).any() for method in methods):
        contents.add_figure("start_final", start_figure(methods), "Before and after registration")
        contents.add_figure("capture", capture_figure(methods), "Capture range")
        contents.add_table("capture", capture_table(methods), "Capture range in numbers")
    contents.add_figure("confidence", confidence_figure(methods), "Confidence")
    contents.add_table("confidence", confidence_table(methods), "Confidence in numbers")
    risk = risk_coverage_table(methods).to_csv().encode()
    notes = [paragraph(os.fspath(source)) for source in sources]
    html = page("Registration report", *notes, *contents.sections, paragraph(_ERRORS))
    files = contents.files | {"risk_coverage.csv": risk, "index.html": html.encode()}
    write_folder(folder, files)
    for path in Path(folder).iterdir():
        if path.name not in files and _NOT_ALWAYS.fullmatch(path.name):
            path.unlink()
    return main


def _add_condition(contents: _Contents, condition: Condition, machine: str) -> Table:
    """Add what a report holds for each condition; returns Table 1."""
    suffix, after = (f"_{condition.name}", f" ({condition.name})") if condition.name else ("", "")
    compared, methods = condition.compared, condition.methods

    def add(name: str, content: Table) -> Table:
        named = replace(content, title=content.title + after)
        contents.add_table(name + suffix, named)
        return named

    main = add("table1", accuracy_table(compared))
    add("reliability", reliability_table(compared))
    if any(len(method.target_errors) for method in methods):
        add("table2", target_table([*compared, *([condition.truth] if condition.truth else [])]))
    add("runtime", runtime_table(methods, machine))
    contents.add_figure("cdf" + suffix, distribution_figure(compared), "Distribution of the error" + after)
    if len(clip_names(methods)) > 1:
        title = "Fig. 7: distribution of the translational error in each clip" + after
        contents.add_figure("cdf_clips" + suffix, clips_figure(compared), title)
    contents.files[f"per_frame{suffix}.csv"] = frame_table(methods).to_csv().encode()
    return main
