"""The guidance pictures of one live image, alone and side by side.

    live    the image, with the tumour's cut, its margin and the vessels outlined
    slice   the slice of the ultrasound volume that belongs to it
    mri     the slice of MRI or CT that belongs to it
    blend   image in magenta and slice in green: where they agree, grey
    panel   all of these under a bar that says whether to believe them

Anatomy is drawn only where the registration is believed. Otherwise the slices are those of where the arm says that the
plane is, and say so.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.anatomy.reslice import Reslicer
from deeprs2v_ros.geometry import Array, apply, inverse
from deeprs2v_ros.imaging.image_geometry import ImageGeometry
from deeprs2v_ros.imaging.slicing import Lattice
from deeprs2v_ros.registration.supervisor import State
from deeprs2v_ros.view.lettering import write
from deeprs2v_ros.view.outlines import draw
from deeprs2v_ros.view.scenery import Structure, margin
from deeprs2v_ros.view.slices import Slicer, blend
from deeprs2v_ros.view.words import COLOURS, because, headline

NAMES = ("live", "slice", "mri", "blend", "panel")

BACKGROUND, DARK, TEXT, FAINT = (16, 18, 24), (30, 25, 15), (255, 255, 255), (150, 155, 165)
WIDTH = 480
"""Pixels of each picture in the panel."""
BAR, CAPTION, GAP = 54, 30, 6
"""Pixels of the panel's bar, of the line above each picture, and between pictures."""

TITLES = {"live": "Live ultrasound", "slice": "3D ultrasound", "mri": "MRI / CT", "blend": "Live and 3D, blended"}
"""What is written above each picture of the panel, in their order."""
NOT_CORRECTED = ", arm alone"
"""What is added above a slice that nobody believes."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Sight:
    """What is known of one live image when it is drawn.

    ``frame`` (rows, columns) is the image. ``plane`` is where it is in the volume, volume_from_image (4, 4) mm; None if
    nobody knows. ``believed``: anatomy may be drawn on it. ``covariance`` (6, 6) is that of the plane about the image
    centre, in image axes. ``predicted``: it is known where the organ is now, and not only on the image.
    """

    frame: Picture
    state: State
    reason: str = ""
    plane: Array | None = None
    believed: bool = False
    covariance: Array | None = None
    predicted: bool = False


@dataclass(frozen=True)
class Scenery:
    """What live images are shown with; None for what there is not. ``mri_from_volume`` (4, 4) mm."""

    slicer: Slicer | None = None
    mri: Reslicer | None = None
    mri_from_volume: Array = field(default_factory=lambda: np.eye(4))
    structures: tuple[Structure, ...] = ()

    @cached_property
    def tumour(self) -> Structure | None:
        """The first tumour."""
        return next((each for each in self.structures if each.tumour), None)


def draw_pictures(sight: Sight, scenery: Scenery, images: ImageGeometry, wanted: Collection[str]) -> dict[str, Picture]:
    """The pictures of `NAMES` that are ``wanted``: slice and mri (rows, columns), the others (rows, columns, 3)."""
    artist = _Artist(sight, scenery, images, images.shape)
    return {name: _panel(sight, scenery, images) if name == "panel" else getattr(artist, name) for name in wanted}


def draw_cells(sight: Sight, scenery: Scenery, images: ImageGeometry) -> dict[str, Picture]:
    """The pictures of the panel by name, each (rows, columns, 3) on `cell_lattice`, outlines in every one."""
    artist = _Artist(sight, scenery, images, cell_lattice(images).shape)
    cells = {name: getattr(artist, name) for name in TITLES if name != "mri" or scenery.mri is not None}
    return {name: artist.outlined(picture) if _is_tissue(name) else picture for name, picture in cells.items()}


def cell_lattice(images: ImageGeometry) -> Lattice:
    """Where the pixels of a picture of the panel are: `WIDTH` of them across the image, and square."""
    rows, columns = images.shape
    x, y = images.pixel_size
    return _lattice(images, (round(WIDTH * rows * y / (columns * x)), WIDTH))


def _lattice(images: ImageGeometry, shape: tuple[int, int]) -> Lattice:
    """Where the pixels of a picture of a ``shape`` are that shows as much as an image does."""
    shrunk = np.array(images.shape[::-1]) / shape[::-1]
    size = np.array(images.pixel_size)
    x, y = (0.5 * (shrunk - 1.0) * size).tolist()
    return Lattice(shape, tuple((shrunk * size).tolist()), (x, y))


def _is_tissue(name: str) -> bool:
    return name in ("slice", "mri")


class _Artist:
    """Draws pictures of a ``shape`` (rows, columns), all of the same field of view, and none of them twice."""

    def __init__(self, sight: Sight, scenery: Scenery, images: ImageGeometry, shape: tuple[int, int]) -> None:
        self._sight, self._scenery, self._centre = sight, scenery, images.centre
        self._lattice = _lattice(images, shape)
        self._line = max(2, round(shape[0] / 300))

    @cached_property
    def _frame(self) -> Picture:
        return self._fitting(self._sight.frame)

    @cached_property
    def live(self) -> Picture:
        return self.outlined(self._frame)

    @cached_property
    def slice(self) -> Picture:
        slicer, plane = self._scenery.slicer, self._sight.plane
        return np.zeros_like(self._frame) if slicer is None or plane is None else self._fitting(slicer.slice(plane))

    @cached_property
    def mri(self) -> Picture:
        mri, plane = self._scenery.mri, self._sight.plane
        if mri is None or plane is None:
            return np.zeros_like(self._frame)
        return mri.slice(self._lattice, self._scenery.mri_from_volume @ plane)

    @cached_property
    def blend(self) -> Picture:
        return self.outlined(blend(self._frame, self.slice)) if self._sight.believed else self.live

    def outlined(self, picture: Picture) -> Picture:
        """A ``picture`` in colour, with the anatomy where it is believed."""
        coloured = picture if picture.ndim == 3 else cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
        for segments, colour, width in self._outlines:
            draw(coloured, segments, self._lattice, colour, width)
        return coloured

    @cached_property
    def _outlines(self) -> list[tuple[Array, tuple[int, int, int], int]]:
        """Segments, colour and width: of the tumour; thin, of its margin and of vessels."""
        sight, found = self._sight, []
        for each in self._scenery.structures if sight.believed else ():
            found.append((each.surface.cut(sight.plane), each.colour, self._line if each.tumour else self._line - 1))
            if each.tumour and sight.covariance is not None:
                far = margin(sight.covariance, sight.plane, self._centre, each.centre)
                found.append((each.grown(far).cut(sight.plane), each.colour, self._line - 1))
        return found

    def _fitting(self, picture: Picture) -> Picture:
        rows, columns = self._lattice.shape
        return (
            picture
            if picture.shape == (rows, columns)
            else cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA)
        )


def _panel(sight: Sight, scenery: Scenery, images: ImageGeometry) -> Picture:
    cells = draw_cells(sight, scenery, images)
    height = cells["live"].shape[0]
    panel = np.empty((BAR + CAPTION + height, len(cells) * (WIDTH + GAP) - GAP, 3), np.uint8)
    panel[...] = BACKGROUND
    _write_bar(panel[:BAR], sight, scenery)
    for number, (name, picture) in enumerate(cells.items()):
        left, top = number * (WIDTH + GAP), BAR + CAPTION
        alone = NOT_CORRECTED if _is_tissue(name) and sight.plane is not None and not sight.believed else ""
        write(panel, TITLES[name] + alone, (left + 8, BAR + 5), 15, FAINT)
        panel[top:, left : left + WIDTH] = picture
        cv2.rectangle(panel, (left, top), (left + WIDTH - 1, top + height - 1), COLOURS[sight.state], 2)
        if _is_tissue(name) and sight.plane is None:
            write(panel, "not known yet", (left + WIDTH // 2 - 50, top + height // 2), 15, FAINT)
    return panel


def _write_bar(bar: Picture, sight: Sight, scenery: Scenery) -> None:
    bar[...] = COLOURS[sight.state]
    ink = DARK if sight.state is State.HOLDING else TEXT
    end = 14 + write(bar, sight.state.name, (14, 10), 26, ink, bold=True)
    why = because(sight.state, sight.reason)
    beside = _beside(sight, scenery)
    line = "; ".join(filter(None, (headline(sight.state), why, beside)))
    write(bar, line, (end + 18, 15), 18, ink)


def _beside(sight: Sight, scenery: Scenery) -> str:
    """Where the tumour is, if the plane misses it."""
    tumour = scenery.tumour
    if tumour is None or not sight.believed or len(tumour.surface.cut(sight.plane)):
        return ""
    z = apply(inverse(sight.plane), tumour.centre)[2]
    return f"the tumour is {abs(z):.0f} mm {'behind' if z > 0.0 else 'in front of'} this plane"
