"""The report of a calibration: figures, and one page that shows them with the numbers, without any other file."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deeprs2v_ros.arm.calibration.calibration import Accuracy, Calibrated
from deeprs2v_ros.arm.calibration.figures import error_figure, joint_figure
from deeprs2v_ros.files import write_folder

INSIDE_95 = 12.59
"""95th percentile of chi squared with six degrees of freedom."""

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1.5rem; }
p { max-width: 60rem; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .3rem 1.2rem .3rem 0; border-bottom: 1px solid #8884; text-align: left; vertical-align: top; }
img { width: 100%; background: white; }
"""


def write_report(folder: Path, calibrated: Calibrated, judged: Accuracy, provenance: str) -> None:
    """Write joints.png, errors.png and index.html into ``folder``.

    ``judged`` is the accuracy to show: on the pairs themselves, or cross-validated. Raises InputError for a folder that
    cannot be written.
    """
    figures = {
        "Encoders: error curves, and what the pairs leave": ("joints.png", joint_figure(calibrated.fit)),
        "Errors": ("errors.png", error_figure(calibrated.fit, calibrated.accuracy, judged)),
    }
    page = _page(calibrated, judged, provenance, {title: picture for title, (_, picture) in figures.items()})
    write_folder(folder, dict(figures.values()) | {"index.html": page.encode()})


def _page(calibrated: Calibrated, judged: Accuracy, provenance: str, figures: dict[str, bytes]) -> str:
    document = calibrated.document
    section = document["calibration"]
    deviations = np.sqrt(np.diag(section["covariance"]))
    rows = [
        ("Accuracy", str(judged)),
        ("On the pairs it was made from", str(calibrated.accuracy)),
        ("Errors inside the 95 % that the covariance claims", f"{np.mean(judged.distances < INSIDE_95):.0%}"),
        ("Calibration at the flange, x y z", " ".join(f"{value:.2f}" for value in deviations[:3]) + " mm"),
        ("about x y z", " ".join(f"{value:.3f}" for value in deviations[3:]) + " deg"),
        ("Tracker", f"{section['tracker']['position']:.2f} mm, {section['tracker']['rotation']:.3f} deg"),
        ("Gross pairs (lines of data, from 0)", _listed(calibrated.fit.model.pairs.lines[calibrated.fit.gross])),
        ("Locked joints", _listed(section["locked"])),
        ("Not determined by these pairs on their own", _listed(section["undetermined"])),
    ]
    names = calibrated.fit.model.pairs.names
    joints = [
        (name, f"{entry['zero']:.2f}", f"{entry['noise']:.3f}", f"{low:.0f} to {high:.0f}")
        for name, entry, (low, high) in ((n, document["joints"][n], section["seen"][n]) for n in names)
    ]
    pictures = "".join(
        f'<h2>{html.escape(title)}</h2><img alt="{html.escape(title)}" '
        f'src="data:image/png;base64,{base64.b64encode(picture).decode("ascii")}">'
        for title, picture in figures.items()
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Arm calibration</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>Calibration of the arm {html.escape(document['name'])}</h1>\n"
        f"<p>{html.escape(provenance)}</p>\n{_table(rows)}\n<h2>Encoders</h2>\n"
        + _table(joints, ("joint", "zero (deg)", "deviation of a reading (deg)", "seen (deg)"))
        + f"\n{pictures}\n</body></html>\n"
    )


def _listed(items: Sequence) -> str:
    return ", ".join(map(str, items)) or "none"


def _table(rows: Sequence[Sequence[str]], headings: Sequence[str] = ()) -> str:
    head = f"<tr>{''.join(f'<th>{html.escape(each)}</th>' for each in headings)}</tr>" if headings else ""
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
    return f"<table>{head}{body}</table>"
