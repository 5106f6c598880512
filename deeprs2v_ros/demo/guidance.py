"""What the physician sees, with the organ far from rest and near it: the live frame, and its slices of volume and MRI.

The pictures are those of the guidance view, and one more: the slice of the volume by the arm's tracking alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.demo.scenes import Seen
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, apply, inverse
from deeprs2v_ros.imaging.image_geometry import ImageGeometry
from deeprs2v_ros.imaging.slicing import Lattice
from deeprs2v_ros.view.lettering import write
from deeprs2v_ros.view.outlines import draw
from deeprs2v_ros.view.pictures import (
    BACKGROUND,
    FAINT,
    GAP,
    NOT_CORRECTED,
    TEXT,
    TITLES,
    WIDTH,
    Scenery,
    Sight,
    cell_lattice,
    draw_cells,
)

UNCORRECTED = (255, 255, 255)
"""RGB of where the target would be drawn by the arm alone: a colour that no structure has."""

IN_WORDS = (
    "Yellow: the tumour where the registration puts it, and thin around it how far it may be off; other colours: "
    "vessels. Dashed white: where the arm alone would have the tumour drawn; dotted, if its plane would not meet it at "
    "all."
)
"""What the lines of the picture mean."""

_TITLE, _HEADING = 28, 40  # pixels: heights of the line above all pictures, and of that above each row
_BAR = 20.0  # mm
_ALONE = "alone"
_TITLES = {
    **TITLES,
    _ALONE: TITLES["slice"] + NOT_CORRECTED,
    "slice": TITLES["slice"] + ", registered",
    "mri": TITLES["mri"] + ", registered",
}

Picture = NDArray[np.uint8]


class Accepted(NamedTuple):
    """An accepted image: where its plane is by the arm alone and registered (4, 4), and how the organ had moved (C).

    ``stamp`` in ns. ``true`` (3,) is where the target truly was; None if that is not known. Volume frame, mm.
    """

    stamp: int
    tracked: Array
    registered: Array
    motion: Array
    true: Array | None = None


class Target(NamedTuple):
    """A ball about ``place`` (3,) in the volume; mm."""

    place: Array
    radius: float


@dataclass(frozen=True)
class Outline:
    """Where a sphere shows in an image plane: ``centre`` (x, y) and ``radius`` in mm; ``radius`` is 0 if it does not.

    The sphere's centre lies ``offset`` mm behind the plane.
    """

    centre: Array
    radius: float
    offset: float


def outline(target: Target, volume_from_image: Array) -> Outline:
    """The cut of the target with the plane of an image."""
    x, y, z = apply(inverse(volume_from_image), target.place)
    return Outline(np.array([x, y]), float(np.sqrt(max(target.radius**2 - z**2, 0.0))), float(z))


def choose_moments(accepted: Sequence[Accepted], centre: Array, target: Target | None) -> tuple[Accepted, Accepted]:
    """An image on which the organ was far from rest, and one on which it was near to it.

    How far is told at the image's ``centre`` (3,), mm. The more of the target their planes show, the better. Raises
    InputError if there is no image.
    """
    if not accepted:
        raise InputError("no image was registered, so there is nothing to show")
    moved = np.array([_moved(each, centre) for each in accepted])
    shown = np.ones(len(accepted))
    if target is not None:  # share of it that shows
        shown = np.array([outline(target, each.registered).radius for each in accepted]) / target.radius + 1e-3
    return accepted[int((shown * moved).argmax())], accepted[int((shown / (1.0 + moved)).argmax())]


def guidance_picture(
    accepted: Sequence[Accepted],
    seen: Iterable[Seen],
    scenery: Scenery,
    images: ImageGeometry,
    target: Target | None,
    zero: int,
) -> bytes:
    """PNG with one row for each of `choose_moments`, among the images that were ``seen``.

    ``zero`` (ns) is when the time of the rows begins. Raises InputError if there is no accepted image, or if one of the
    two is missing.
    """
    moments = choose_moments(accepted, images.centre, target)
    wanted = {each.stamp for each in moments}
    sights = {stamp: sight for stamp, sight in seen if stamp in wanted and sight.believed}
    if wanted - sights.keys():
        raise InputError("an image that was registered is missing")
    rows = [draw_row(each, sights[each.stamp], scenery, images, target) for each in moments]
    lattice, names = cell_lattice(images), list(rows[0])
    canvas = np.empty((_TITLE + 2 * (_HEADING + lattice.shape[0]), len(names) * (WIDTH + GAP) - GAP, 3), np.uint8)
    canvas[...] = BACKGROUND
    for number, name in enumerate(names):
        write(canvas, _TITLES[name], (number * (WIDTH + GAP) + 8, 8), 17, FAINT)
    for number, (name, moment, row) in enumerate(zip(("far from", "near"), moments, rows, strict=True)):
        top = _TITLE + number * (_HEADING + lattice.shape[0])
        seconds = (moment.stamp - zero) / 1e9
        line = f"Organ {name} rest, at {seconds:.1f} s:  {_words(moment, images.centre, target)}"
        write(canvas, line, (8, top + 8), 19, TEXT)
        below = canvas[top + _HEADING : top + _HEADING + lattice.shape[0]]
        for column, picture in enumerate(row.values()):
            below[:, column * (WIDTH + GAP) :][:, :WIDTH] = picture
    return cv2.imencode(".png", canvas[..., ::-1])[1].tobytes()


def draw_row(
    moment: Accepted, sight: Sight, scenery: Scenery, images: ImageGeometry, target: Target | None
) -> dict[str, Picture]:
    """The pictures of a row by name, each (rows, columns, 3) on `cell_lattice`; "alone" is the one by the arm alone.

    Where the arm alone would have the ``target`` drawn is dashed; dotted and of its whole size, as seen from in front,
    if its plane does not meet it.
    """
    lattice = cell_lattice(images)
    cells = draw_cells(sight, scenery, images)
    without = replace(sight, plane=moment.tracked, believed=False)
    row = {"live": cells.pop("live"), _ALONE: draw_cells(without, scenery, images)["slice"], **cells}
    if target is not None:
        cut = outline(target, moment.tracked)
        dashes = _dashes(cut.centre, cut.radius or target.radius, 14 if cut.radius else 28)
        for name in (_ALONE, "blend"):
            draw(row[name], dashes, lattice, UNCORRECTED, 2)
    for picture in row.values():
        _scale_bar(picture, lattice)
    return row


def _moved(image: Accepted, centre: Array) -> float:
    return float(np.linalg.norm(apply(image.registered, centre) - apply(image.tracked, centre)))


def _words(moment: Accepted, centre: Array, target: Target | None) -> str:
    """How far off the target is drawn, with the correction and without; or how far the organ has moved."""
    if target is None or moment.true is None:
        return f"corrected by {_moved(moment, centre):.1f} mm"
    error = np.linalg.norm(apply(inverse(moment.motion), target.place) - moment.true)
    before = np.linalg.norm(target.place - moment.true)
    cut = outline(target, moment.tracked)
    away = "" if cut.radius else f", and {abs(cut.offset):.0f} mm out of this plane"
    return f"tumour drawn {error:.1f} mm from where it is; without the correction {before:.1f} mm{away}"


def _dashes(centre: Array, radius: float, count: int) -> Array:
    """A dashed circle as segments (K, 2, 2), mm: ``count`` dashes as long as the gaps between them."""
    parts = 4  # straight ones of each dash
    within = np.linspace(0.0, np.pi / count, parts + 1)
    angles = 2.0 * np.pi * np.arange(count)[:, None] / count + within
    points = centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return np.stack([points[:, :-1], points[:, 1:]], axis=2).reshape(-1, 2, 2)


def _scale_bar(picture: Picture, lattice: Lattice) -> None:
    rows, columns = lattice.shape
    left, low, length = round(0.03 * columns), round(0.965 * rows), round(_BAR / lattice.spacing[0])
    cv2.rectangle(picture, (left, low), (left + length - 1, low + 2), TEXT, cv2.FILLED)
    write(picture, f"{_BAR:g} mm", (left, low - 19), 13, TEXT)
