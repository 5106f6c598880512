"""The report of a calibration: figures, and one page that shows them with the numbers, without any other file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deeprs2v_ros.arm.calibration.calibration import Accuracy, Calibrated
from deeprs2v_ros.arm.calibration.figures import error_figure, joint_figure
from deeprs2v_ros.files import write_folder
from deeprs2v_ros.pages import heading, page, paragraph, picture, table

INSIDE_95 = 12.59
"""95th percentile of chi squared with six degrees of freedom."""


def write_report(folder: Path, calibrated: Calibrated, judged: Accuracy, provenance: str) -> None:
    """Write joints.png, errors.png and index.html into ``folder``.

    ``judged`` is the accuracy to show: on the pairs themselves, or cross-validated. Raises InputError for a folder that
    cannot be written.
    """
    figures = {
        "Encoders: error curves, and what the pairs leave": ("joints.png", joint_figure(calibrated.fit)),
        "Errors": ("errors.png", error_figure(calibrated.fit, calibrated.accuracy, judged)),
    }
    content = _page(calibrated, judged, provenance, {title: png for title, (_, png) in figures.items()})
    write_folder(folder, dict(figures.values()) | {"index.html": content.encode()})


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
    columns = ("joint", "zero (deg)", "deviation of a reading (deg)", "seen (deg)")
    pictures = [part for title, png in figures.items() for part in (heading(title), picture(png, title, full=True))]
    title = f"Calibration of the arm {document['name']}"
    return page(
        title, paragraph(provenance), table(rows), heading("Encoders"), table(joints, columns, numbers=True), *pictures
    )


def _listed(items: Sequence) -> str:
    return ", ".join(map(str, items)) or "none"
