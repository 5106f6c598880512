"""The report of a time offset: one picture and one page, of where images and arm put the plane, before and after."""

from __future__ import annotations

from pathlib import Path as File

import numpy as np
from matplotlib.figure import Figure

from deeprs2v_ros.files import write_folder
from deeprs2v_ros.geometry import Array
from deeprs2v_ros.pages import page, paragraph, picture, png
from deeprs2v_ros.registration.time_offset import Path, TimeOffset

ARM, SHIFTED = "#D55E00", "#0072B2"


def write_report(
    folder: File, times: Array, registered: Array, path: Path, centre: Array, result: TimeOffset, title: str
) -> None:
    """Write time_offset.png and index.html into ``folder``. Raises InputError if it cannot be written."""
    drawn = _picture(times, registered, path, centre, result)
    note = (
        "Dots: where registration finds the image centre. Lines: where the arm had it, as recorded and shifted by the "
        "offset. After the shift they should meet."
    )
    shown = picture(drawn, "Places of images and arm, misfit")
    content = page("Image time offset", paragraph(title), shown, paragraph(note))
    write_folder(folder, {"time_offset.png": drawn, "index.html": content.encode()})


def _picture(times: Array, registered: Array, path: Path, centre: Array, result: TimeOffset) -> bytes:
    figure = Figure(figsize=(12, 11), layout="constrained")
    axes = figure.subplots(4, 1)
    found = (registered @ [*centre, 1.0])[:, :3]
    along = np.linspace(path.start, path.end, 600)
    arm = (result.motion @ path(along) @ [*centre, 1.0])[:, :3]
    for axis, name in enumerate("xyz"):
        axes[axis].plot(along, arm[:, axis], color=ARM, label="arm, as stamped")
        axes[axis].plot(along + result.offset, arm[:, axis], color=SHIFTED, label="arm, shifted by the offset")
        axes[axis].plot(times, found[:, axis], ".", color="black", markersize=4, label="image, registered")
        axes[axis].set_ylabel(f"{name} in the volume (mm)")
    axes[0].legend(loc="best", ncols=3)
    axes[2].set_xlabel("time (s)")
    axes[3].plot(result.tried, result.misfit, ".-", color="black")
    axes[3].axvline(result.offset, color=SHIFTED)
    axes[3].set(xlabel="offset (s)", ylabel="misfit, at first")
    for each in axes:
        each.grid(alpha=0.25)
    return png(figure, dpi=110)
