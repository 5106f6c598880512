"""Pages of reports: HTML that needs no other file, with tables and pictures in it; one look for all of them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

from matplotlib.figure import Figure

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --faint: #888; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 80rem; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p { color: var(--faint); margin: .4rem 0; }
.headline { color: inherit; font-size: 1.1rem; margin: .8rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top; text-align: left; }
.numbers th, .numbers td { text-align: right; white-space: nowrap; }
.numbers th:first-child, .numbers td:first-child { text-align: left; }
th { border-bottom-width: 2px; font-weight: 600; }
tbody tr:hover { background: var(--soft); }
img { max-width: 100%; background: white; border-radius: 6px; }
img.full { width: 100%; }
"""


def page(title: str, *sections: str) -> str:
    """The whole page: ``sections`` of HTML one below the other, under the ``title`` (text)."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>{escape(title)}</h1>\n"
        + "\n".join(sections)
        + "\n</body>\n</html>\n"
    )


def heading(text: str) -> str:
    """A heading above a section."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def table(rows: Sequence[Sequence[str]], columns: Sequence[str] = (), numbers: bool = False) -> str:
    """A table of cells as text, below the names of its ``columns`` if it has any; ``numbers`` stand to the right."""
    head = f"<thead><tr>{''.join(f'<th>{escape(name)}</th>' for name in columns)}</tr></thead>\n" if columns else ""
    body = "\n".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    kind = ' class="numbers"' if numbers else ""
    return f'<div class="wide"><table{kind}>{head}<tbody>{body}</tbody></table></div>'


def picture(content: bytes, description: str, full: bool = False, kind: str = "png") -> str:
    """A picture of a ``kind`` (png, webp), held by the page itself; ``full`` stretches it to the page's width."""
    data = base64.b64encode(content).decode("ascii")
    width = ' class="full"' if full else ""
    return f'<img{width} alt="{escape(description)}" src="data:image/{kind};base64,{data}">'


def png(figure: Figure, dpi: int) -> bytes:
    """A figure as PNG; the same figure gives the same bytes."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=dpi, metadata={"Software": None})
    return content.getvalue()
