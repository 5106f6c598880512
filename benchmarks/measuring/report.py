"""What was measured as a page of Markdown and as JSON."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import deeprs2v_ros
from deeprs2v_ros.files import written_whole


@dataclass(frozen=True)
class Table:
    """Cells as text below the names of their ``columns``; the first column is text, the others are numbers."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def to_markdown(self) -> str:
        """As a table of Markdown. Raises ValueError for a row of another length."""
        lines = [line(self.columns), "|---|" + "---:|" * (len(self.columns) - 1)]
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{len(row)} cells under {len(self.columns)} columns: {row}")
            lines.append(line(row))
        return "\n".join(lines)


@dataclass(frozen=True)
class Section:
    """One section: what was done in plain words, its ``table``, ``notes`` below it, and all ``numbers`` for JSON."""

    title: str
    text: str
    table: Table
    notes: Sequence[str] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def to_markdown(self) -> str:
        """The section with its heading."""
        return "\n\n".join([f"## {self.title}", self.text, self.table.to_markdown(), *self.notes])


def line(cells: Sequence[str]) -> str:
    """One line of a table."""
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def to_markdown(facts: Mapping[str, Any], sections: Mapping[str, Section]) -> str:
    """The page: on what it was measured, then section by section."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    head = [
        "# Speed",
        f"`{facts['command']}`, {facts['date']}, commit {facts['commit']}{', in brief' if facts['quick'] else ''}.",
        f"Machine: {facts['machine']}. Load when it began: {facts['load']:.1f}. {versions}.",
        f"Subject: {facts['subject']}.",
        "Methods are timed in turns, so that other work on the machine disturbs all of them. A ratio is that of "
        "neighbours in time: the median, and in brackets the 10th and 90th percentile. CPU is the time of all cores "
        "together.",
    ]
    return "\n\n".join([*head, *(section.to_markdown() for section in sections.values())]) + "\n"


def write(folder: Path, facts: Mapping[str, Any], sections: Mapping[str, Section]) -> None:
    """Write speed.md and speed.json into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = {name: {"title": section.title, **section.numbers} for name, section in sections.items()}
    content = {
        "speed.md": to_markdown(facts, sections),
        "speed.json": json.dumps(plain({**facts, "sections": numbers}), indent=1) + "\n",
    }
    for name, text in content.items():
        with written_whole(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def plain(value: Any) -> Any:
    """``value`` for JSON: objects as their ``to_json`` says, NaN and infinity as null."""
    if hasattr(value, "to_json"):
        return plain(value.to_json())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "item"):  # a number of NumPy's
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def commit() -> str:
    """That of the package that is measured, with a + if there is more than was committed."""
    folder = Path(deeprs2v_ros.__file__).resolve().parent
    try:
        found = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty=+", "--exclude=*"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()
