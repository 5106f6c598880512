"""What the physician sees, breathed in and out: the live frame, and what belongs to it of the volume and the MRI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from deeprs2v_ros.demo.accuracy import at_rest, distances, registered_target, tracking_began
from deeprs2v_ros.demo.recording import Recording, Status
from deeprs2v_ros.demo.scenes import sights
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, apply, inverse
from deeprs2v_ros.imaging.slicing import Lattice
from deeprs2v_ros.pages import png
from deeprs2v_ros.view.pictures import Scenery
from deeprs2v_ros.view.scenery import Structure
from deeprs2v_ros.view.slices import blend

CORRECTED, UNCORRECTED, VESSEL = "#56B4E9", "#E69F00", "#F0E442"
"""Sky blue, orange and yellow, which every kind of colour vision tells apart."""

_BACKGROUND, _TEXT = "#0d1117", "#e6edf3"
_BAR = 20.0  # mm
_PANEL, _CAPTION, _HEADING = 4.3, 0.55, 0.4  # inches: a panel's width, the heights of a row's caption and the titles
_LIVE, _ALONE, _REGISTERED, _MRI, _BLEND = (
    "Live 2D ultrasound",
    "3D-US slice, arm tracking alone",
    "3D-US slice, registered",
    "MRI slice, registered",
    "Live and registered slice, blended",
)


@dataclass(frozen=True)
class Outline:
    """Where a sphere shows in an image plane: ``centre`` (x, y) and ``radius`` in mm; ``radius`` is 0 if it does not.

    The sphere's centre lies ``offset`` mm behind the plane.
    """

    centre: Array
    radius: float
    offset: float


def outline(target: Array, radius: float, volume_from_image: Array) -> Outline:
    """The cut of a sphere about ``target`` (3,), in the volume frame, with the plane of an image."""
    x, y, z = apply(inverse(volume_from_image), target)
    return Outline(np.array([x, y]), float(np.sqrt(max(radius**2 - z**2, 0.0))), float(z))


def choose_moments(recording: Recording) -> list[tuple[str, Status]]:
    """An accepted image on which the organ was far from rest, and one on which it was near to it, each with its name.

    The more of the target their planes show, the better. Raises InputError if no registration was accepted.
    """
    points = registered_target(recording)
    known = set(points.stamps.tolist())
    accepted = [status for status in recording.statuses if status.accepted and status.stamp in known]
    if not accepted:
        raise InputError("no image was registered, so there is nothing to show")
    moved = distances(at_rest(recording, points.stamps), recording.truth)
    radius = recording.target_radius
    cuts = [outline(recording.target_in_volume, radius, status.registered).radius for status in accepted]
    shown = np.array(cuts) / radius + 1e-3  # share of the target that shows
    breathed_in, breathed_out = (shown * moved).argmax(), (shown / (1.0 + moved)).argmax()
    return [("Breathed in", accepted[int(breathed_in)]), ("Breathed out", accepted[int(breathed_out)])]


def guidance_picture(recording: Recording, bag: Path, pixel_size: tuple[float, float], scenery: Scenery) -> bytes:
    """PNG with one row for each of `choose_moments`. ``pixel_size`` is (x, y) in mm.

    Raises InputError if nothing was registered, or an image of these moments is missing.
    """
    moments = choose_moments(recording)
    wanted = {status.stamp for _, status in moments}
    frames = {seen.stamp: seen.sight.frame for seen in sights(bag, pixel_size) if seen.stamp in wanted}
    if wanted - frames.keys():
        raise InputError(f"{bag}: an image that was registered is missing")
    titles = [title for title in (_LIVE, _ALONE, _REGISTERED, _MRI, _BLEND) if title != _MRI or scenery.mri is not None]
    rows, columns = frames[moments[0][1].stamp].shape
    panel = _PANEL * rows * pixel_size[1] / (columns * pixel_size[0])
    heights = (_HEADING, *(panel + _CAPTION for _ in moments))
    figure = Figure(figsize=(len(titles) * _PANEL, sum(heights)), facecolor=_BACKGROUND)
    parts = figure.subfigures(len(heights), 1, height_ratios=heights)
    for part in parts:
        part.set_facecolor(_BACKGROUND)
    for number, title in enumerate(titles):
        place = (number + 0.5) / len(titles)
        parts[0].text(place, 0.0, title, color=_TEXT, fontsize=14, ha="center", va="bottom")
    for part, (name, status) in zip(parts[1:], moments, strict=True):
        _row(part, name, status, recording, frames[status.stamp], scenery, pixel_size)
        part.subplots_adjust(0.004, 0.0, 0.996, panel / (panel + _CAPTION), wspace=0.02)
    return png(figure, dpi=120)


def _row(
    part: SubFigure,
    name: str,
    status: Status,
    recording: Recording,
    frame: NDArray[np.uint8],
    scenery: Scenery,
    pixel_size: tuple[float, float],
) -> None:
    target, radius = recording.target_in_volume, recording.target_radius
    wrong = outline(target, radius, status.tracked)
    registered = scenery.slicer.slice(status.registered)
    slices = {_LIVE: frame, _ALONE: scenery.slicer.slice(status.tracked), _REGISTERED: registered}
    if scenery.mri is not None:
        lattice = Lattice(frame.shape, pixel_size, (0.0, 0.0))
        slices[_MRI] = scenery.mri.slice(lattice, scenery.mri_from_volume @ status.registered)
    slices[_BLEND] = blend(frame, registered)
    rows, columns = frame.shape
    width, height = columns * pixel_size[0], rows * pixel_size[1]
    extent = (-pixel_size[0] / 2, width - pixel_size[0] / 2, height - pixel_size[1] / 2, -pixel_size[1] / 2)
    shown = dict(zip(slices, part.subplots(1, len(slices)), strict=True))
    for title, picture in slices.items():
        axes = shown[title]
        axes.imshow(picture, extent=extent, cmap="gray", vmin=0, vmax=255, interpolation="bilinear")
        axes.set_axis_off()
        _scale_bar(axes, width, height)
    for title, axes in shown.items():
        if title in (_ALONE, _BLEND):
            _draw(axes, wrong, radius, UNCORRECTED, "--")
        if title != _ALONE:
            _draw_structures(axes, scenery.structures, status.registered)
    points = registered_target(recording)
    chosen = points.stamps == status.stamp
    error = distances(points, recording.truth)[chosen][0]
    before = distances(at_rest(recording, points.stamps), recording.truth)[chosen][0]
    seconds = (status.stamp - tracking_began(recording)) / 1e9
    part.text(
        0.006, 0.97,
        f"{name}, at {seconds:.1f} s:  tumour drawn {error:.1f} mm from where it is; "
        f"without the correction {before:.1f} mm{_away(wrong)}",
        color=_TEXT, fontsize=15, ha="left", va="top",
    )  # fmt: skip


def _away(cut: Outline) -> str:
    return "" if cut.radius else f", and {abs(cut.offset):.0f} mm out of this plane"


def _draw_structures(axes: Axes, found: Sequence[Structure], volume_from_image: Array) -> None:
    """Where the plane cuts the tumour and the vessels."""
    edge = [withStroke(linewidth=3.0, foreground="black", alpha=0.55)]
    for each in found:
        colour, width = (CORRECTED, 2.0) if each.tumour else (VESSEL, 1.0)
        cut = each.surface.cut(volume_from_image)
        axes.add_collection(LineCollection(cut, colors=colour, linewidths=width, path_effects=edge), autolim=False)


def _draw(axes: Axes, cut: Outline, radius: float, colour: str, line: str) -> None:
    """The outline; of a sphere that does not meet the plane, its whole outline, dotted, as seen from in front."""
    shown, style = (cut.radius, line) if cut.radius else (radius, ":")
    edge = [withStroke(linewidth=3.4, foreground="black", alpha=0.55)]
    axes.add_patch(Circle(cut.centre, shown, fill=False, color=colour, linestyle=style, linewidth=2, path_effects=edge))


def _scale_bar(axes: Axes, width: float, height: float) -> None:
    left, low = 0.03 * width, 0.965 * height
    axes.plot([left, left + _BAR], [low, low], color=_TEXT, linewidth=3, solid_capstyle="butt")
    axes.text(left + _BAR / 2, low - 0.015 * height, f"{_BAR:g} mm", color=_TEXT, fontsize=10, ha="center", va="bottom")
