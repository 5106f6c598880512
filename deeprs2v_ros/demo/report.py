"""The report of a recorded run: pictures, a plot, numbers, and a page that shows them without any other file."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path

from deeprs2v_ros.demo.accuracy import WRONG, Spread, Summary, summarise
from deeprs2v_ros.demo.guidance import guidance_picture
from deeprs2v_ros.demo.plot import target_plot
from deeprs2v_ros.demo.recording import read_recording
from deeprs2v_ros.errors import InputError

Rows = Sequence[tuple[str, str]]

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --faint: #888; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 82rem; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p { color: var(--faint); margin: .4rem 0; }
.headline { color: inherit; font-size: 1.1rem; margin: .8rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td { padding: .3rem 2rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
img { width: 100%; border-radius: 6px; }
"""


def write_report(bag: Path, folder: Path, pixel_size: tuple[float, float], source: str) -> Summary:
    """Write guidance.png, target.png, summary.json and index.html about the run in ``bag`` into ``folder``.

    ``pixel_size`` is that of the images, (x, y) mm; ``source`` says in a few words what the images were. Raises
    InputError if the bag cannot be read, or if nothing was ever tracked in it.
    """
    recording = read_recording(bag)
    summary = summarise(recording)
    if not summary.target.count:
        states = ", ".join(f"{count} {state}" for state, count in summary.states.items())
        raise InputError(f"{bag}: the target was never tracked ({states})")
    pictures = {
        "guidance.png": guidance_picture(recording, bag, pixel_size),
        "target.png": target_plot(recording, summary),
    }
    for name, picture in pictures.items():
        (folder / name).write_bytes(picture)
    (folder / "summary.json").write_text(json.dumps(summary.to_json(), indent=1) + "\n", encoding="utf-8")
    (folder / "index.html").write_text(_page(summary, pictures, source), encoding="utf-8")
    return summary


def summary_rows(summary: Summary) -> Rows:
    """The summary as (what, value) pairs to print."""
    accounting = summary.accounting
    if accounting.exactly_one:
        statuses = f"{accounting.images} images, each with exactly one status"
    else:
        statuses = (
            f"{accounting.images} images: {len(accounting.missing)} without a status, "
            f"{len(accounting.repeated)} with several, {len(accounting.unknown)} statuses of no image"
        )
    return (
        ("tracked", f"{summary.tracking:.1f} s of {summary.duration:.1f} s"),
        ("images", f"{summary.image_rate:.1f} per second; encoder samples {summary.encoder_rate:.0f} per second"),
        ("statuses", statuses),
        ("accepted", f"{100 * summary.accepted_share:.1f} %{_counts(summary.reasons)}"),
        ("tumour error while TRACKING", _millimetres(summary.target)),
        ("the same without correction", _millimetres(summary.uncorrected)),
        ("latest known position, when asked", _millimetres(summary.target_now)),
        ("accepted but wrong", f"{summary.wrong} of {summary.registered.count} off by more than {WRONG:g} mm"),
        ("image to TF", f"median {summary.latency.median:.0f} ms, 95 % within {summary.latency.p95:.0f} ms"),
    )


def _millimetres(spread: Spread) -> str:
    if not spread.count:
        return "none"
    return f"RMS {spread.rms:.2f} mm (mean {spread.mean:.2f}, 95 % within {spread.p95:.2f}, worst {spread.max:.2f})"


def _counts(counts: dict[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return f"; not accepted: {', '.join(f'{number} {name}' for name, number in ordered)}" if ordered else ""


def _page(summary: Summary, pictures: dict[str, bytes], source: str) -> str:
    guidance, target = (base64.b64encode(picture).decode("ascii") for picture in pictures.values())
    rows = "\n".join(
        f"<tr><td>{html.escape(what)}</td><td>{html.escape(value)}</td></tr>" for what, value in summary_rows(summary)
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Guidance of a breathing liver</title><style>{_STYLE}</style></head>
<body>
<h1>Guidance of a breathing liver</h1>
<p>{html.escape(source)}</p>
<p class="headline">The tumour moves with every breath; taken to be at rest, it would be
<b>{summary.uncorrected.rms:.1f} mm</b> off (RMS). Registered to the live frames, it was known to
<b>{summary.target.rms:.1f} mm</b>.</p>
<h2>What the physician sees</h2>
<img alt="Live frame, 3D-US slices and their blend" src="data:image/png;base64,{guidance}">
<p>Solid blue: the tumour where the registration puts it. Dashed orange: where it would be drawn by the arm's tracking
alone; dotted, if the plane would not meet it there at all.</p>
<h2>Where the tumour is</h2>
<img alt="True and broadcast position of the tumour over time" src="data:image/png;base64,{target}">
<p>Looked up on TF in base_link, at each image's stamp, by a separate process.</p>
<h2>In numbers</h2>
<table>
{rows}
</table>
<p>The same in summary.json; every message in bag/, the parameters in parameters.yaml.</p>
</body>
</html>
"""
