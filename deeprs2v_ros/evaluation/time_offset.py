"""The report of a time offset: one picture and one page, of image motion against the arm's, before and after."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path as File

import numpy as np
from matplotlib.figure import Figure

from deeprs2v_ros.arm.timing import Path, TimeOffset, predicted
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.files import written_whole
from deeprs2v_ros.geometry import Array, inverse
from deeprs2v_ros.imaging.motion import ImageMotion

_SHOWN = 0.12  # s between the frames of the pairs that are shown


def write_report(
    folder: File, motion: ImageMotion, times: Array, pose_times: Array, poses: Array, result: TimeOffset, title: str
) -> None:
    """Write time_offset.png and index.html into ``folder``, which is made if absent.

    Raises InputError if it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror})") from error
    picture = _picture(motion, times, Path(pose_times, poses), result)
    data = base64.b64encode(picture).decode("ascii")
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Image time offset</title></head>\n'
        '<body style="font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1.5rem">\n'
        f"<h1>Image time offset</h1>\n<p>{html.escape(title)}</p>\n"
        f'<img style="max-width: 100%" alt="Image motion, arm motion, likelihood" src="data:image/png;base64,{data}">\n'
        "<p>Offset: seconds by which images are stamped late. Speeds of image and arm should agree after the shift; "
        "decorrelation should rise and fall with the speed across the plane.</p>\n</body></html>\n"
    )
    for name, content in (("time_offset.png", picture), ("index.html", page.encode())):
        with written_whole(folder / name) as temporary:
            temporary.write_bytes(content)


def _picture(motion: ImageMotion, times: Array, path: Path, result: TimeOffset) -> bytes:
    duration = np.diff(times[motion.pairs], axis=1)[:, 0]
    last = np.r_[np.diff(motion.pairs[:, 0]) > 0, True]  # of the pairs that begin with the same frame
    shown = (np.abs(duration - _SHOWN) < 0.5 * _SHOWN) | last
    order = np.flatnonzero(shown)[np.argsort(times[motion.pairs[shown]].mean(axis=1))]
    when, duration, pairs = times[motion.pairs[order]].mean(axis=1), duration[order], motion.pairs[order]
    figure = Figure(figsize=(12, 13), layout="constrained")
    axes = figure.subplots(5, 1)
    names = ("across (mm/s)", "down (mm/s)", "turn (mm/s)")
    for axis, name in enumerate(names):
        axes[axis].plot(when, motion.shift[order, axis] / duration, ".", color="black", markersize=3, label="image")
        axes[axis].set_ylabel(f"shift {name}")
    decorrelation = motion.decorrelation[order].mean(axis=1) / duration
    axes[3].plot(when, decorrelation / np.median(decorrelation), ".", color="black", markersize=3, label="image")
    axes[3].set_ylabel("decorrelation, speed out\nof the plane (of median)")
    for offset, colour, name in ((0.0, "#D55E00", "arm, before"), (result.offset, "#0072B2", "arm, after")):
        at = path(times - offset)
        at[(times - offset < path.start) | (times - offset > path.end)] = np.nan  # unknown, so not drawn
        relative = inverse(at[pairs[:, 0]]) @ at[pairs[:, 1]]
        shifts, distances = predicted(motion, relative)
        for axis, speed in enumerate((shifts / duration[:, None]).T):
            axes[axis].plot(when, speed, color=colour, label=name)
        speed = distances.mean(axis=1) / duration
        axes[3].plot(when, speed / max(np.nanmedian(speed), 1e-9), color=colour, label=name)
    axes[0].legend(loc="upper right", ncols=3)
    axes[3].set_xlabel("time of the images (s)")
    axes[4].plot(result.candidates, result.likelihood, color="black")
    axes[4].axvline(result.offset, color="#0072B2")
    axes[4].axvspan(result.offset - result.sd, result.offset + result.sd, color="#0072B2", alpha=0.2)
    axes[4].set(xlabel="offset (s)", ylabel="log-likelihood\n(per pair)")
    for each in axes:
        each.grid(alpha=0.25)
    for each in axes[:4]:
        low, high = np.quantile(each.lines[0].get_ydata(), [0.02, 0.98])
        each.set_ylim(low - 0.5 * (high - low), high + 0.5 * (high - low))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
