"""The report folder: tables as CSV and Markdown, figures, and one page that shows them all without any other file."""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from deeprs2v_ros.evaluation.figures import distribution_figure, start_figure
from deeprs2v_ros.evaluation.method import Method
from deeprs2v_ros.evaluation.tables import Table, accuracy_table, frame_table, reliability_table, runtime_table
from deeprs2v_ros.files import write_folder

_START_FIGURE = "start_final.png"  # the one file that not every report has
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --faint: #888; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p { color: var(--faint); margin: .4rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .35rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
th { border-bottom-width: 2px; font-weight: 600; }
tbody tr:hover { background: var(--soft); }
img { max-width: 100%; background: white; border-radius: 6px; }
"""


def write_report(folder: str | Path, methods: Sequence[Method], start: Method | None, sources: Sequence[str]) -> Table:
    """Write the report of ``methods`` into ``folder`` and return its main table.

    ``start`` adds the poses before registration; ``sources`` are lines that say which files the results came from.
    The folder appears whole or not at all; files of an earlier report in it are replaced, others are left alone.

    Raises InputError when ``folder`` is a file, or the folder that is to hold it does not exist or cannot be written.
    """
    compared = [*([start] if start else []), *methods]
    table1 = accuracy_table(compared)
    reliability, runtime = reliability_table(compared), runtime_table(methods)
    figures = {"Distribution of the error": ("cdf.png", distribution_figure(compared))}
    if start is not None:
        same = [method for method in methods if len(method.rows) == len(start.errors.geodesic)]
        if same:
            figures["Before and after registration"] = (_START_FIGURE, start_figure(start, same))
    page = _page([table1, reliability, runtime], {title: picture for title, (_, picture) in figures.items()}, sources)
    files = {
        "table1.csv": table1.to_csv(), "table1.md": table1.to_markdown(),
        "reliability.csv": reliability.to_csv(), "reliability.md": reliability.to_markdown(),
        "runtime.csv": runtime.to_csv(), "runtime.md": runtime.to_markdown(),
        "per_frame.csv": frame_table(methods).to_csv(), "index.html": page,
    }  # fmt: skip
    contents = {name: text.encode() for name, text in files.items()} | dict(figures.values())
    write_folder(folder, contents)
    if _START_FIGURE not in contents:
        (Path(folder) / _START_FIGURE).unlink(missing_ok=True)
    return table1


def _page(tables: Sequence[Table], figures: Mapping[str, bytes], sources: Sequence[str]) -> str:
    sections = [_table(table) for table in tables]
    for title, picture in figures.items():
        data = base64.b64encode(picture).decode("ascii")
        sections.append(f'<h2>{html.escape(title)}</h2>\n<img alt="{title}" src="data:image/png;base64,{data}">')
    notes = "".join(f"<p>{html.escape(os.fspath(source))}</p>" for source in sources)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Registration report</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>Registration report</h1>\n{notes}\n"
        + "\n".join(sections)
        + "\n<p>Errors: reference<sup>&minus;1</sup> · result at the image centre, in the frame of the reference image "
        "(x across, y down, z out of the plane).</p>\n</body>\n</html>\n"
    )


def _table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in table.columns)
    rows = "\n".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    return (
        f'<h2>{html.escape(table.title)}</h2>\n<div class="wide"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{rows}</tbody></table></div>\n<p>{html.escape(table.note)}</p>"
    )
