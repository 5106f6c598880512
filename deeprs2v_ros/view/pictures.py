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

from collections.abc import Callable, Collection, Mapping
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

BACKGROUND, TEXT, FAINT = (16, 18, 24), (240, 242, 245), (150, 155, 165)
WIDTH = 480
"""Pixels of each picture in the panel."""
BAR, CAPTION, GAP = 54, 30, 6
"""Pixels of the panel's bar, of the line above each picture, and between pictures."""

_TITLES = {"live": "Live ultrasound", "slice": "3D ultrasound", "mri": "MRI / CT", "blend": "Live and 3D, blended"}
_NOT_CORRECTED = ", arm alone"

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Sight:
    """What is known of one live image when it is drawn.

    ``frame`` (rows, columns) is the image. ``plane`` is where it is in the volume, volume_from_image (4, 4) mm; None if
    nobody knows. ``believed``: anatomy may be drawn on it. ``covariance`` (6, 6) is that of the plane about the image
    centre, in image axes.
    """

    frame: Picture
    state: State
    reason: str = ""
    plane: Array | None = None
    believed: bool = False
    covariance: Array | None = None


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
    """The pictures of ``NAMES`` that are ``wanted``: slice and mri (rows, columns), the others (rows, columns, 3)."""
    artist = _Artist(sight, scenery, images)
    makers: Mapping[str, Callable[[], Picture]] = {
        "live": lambda: artist.live,
        "slice": lambda: artist.slice,
        "mri": lambda: artist.mri,
        "blend": lambda: artist.blend,
        "panel": artist.panel,
    }
    return {name: makers[name]() for name in wanted}


class _Artist:
    """Makes what is asked for, and nothing twice."""

    def __init__(self, sight: Sight, scenery: Scenery, images: ImageGeometry) -> None:
        self._sight, self._scenery, self._images = sight, scenery, images
        self._line = max(1, round(sight.frame.shape[0] / 300))

    @cached_property
    def live(self) -> Picture:
        return self._outlined(np.dstack([self._sight.frame] * 3))

    @cached_property
    def slice(self) -> Picture:
        slicer, plane = self._scenery.slicer, self._sight.plane
        return np.zeros_like(self._sight.frame) if slicer is None or plane is None else slicer.slice(plane)

    @cached_property
    def mri(self) -> Picture:
        mri, plane = self._scenery.mri, self._sight.plane
        if mri is None or plane is None:
            return np.zeros_like(self._sight.frame)
        lattice = Lattice(self._images.shape, self._images.pixel_size, (0.0, 0.0))
        return mri.slice(lattice, self._scenery.mri_from_volume @ plane)

    @cached_property
    def blend(self) -> Picture:
        if not self._sight.believed:
            return np.dstack([self._sight.frame] * 3)
        return self._outlined(blend(self._sight.frame, self.slice))

    def panel(self) -> Picture:
        sight = self._sight
        names = [name for name in _TITLES if name != "mri" or self._scenery.mri is not None]
        rows, columns = sight.frame.shape
        x, y = self._images.pixel_size
        height = round(WIDTH * rows * y / (columns * x))
        canvas = np.empty((BAR + CAPTION + height, len(names) * (WIDTH + GAP) - GAP, 3), np.uint8)
        canvas[...] = BACKGROUND
        self._bar(canvas[:BAR])
        for number, name in enumerate(names):
            left = number * (WIDTH + GAP)
            corrected = sight.believed or name in ("live", "blend") or sight.plane is None
            write(canvas, _TITLES[name] + ("" if corrected else _NOT_CORRECTED), (left + 8, BAR + 5), 15, FAINT)
            shown = cv2.resize(self._shown(name), (WIDTH, height), interpolation=cv2.INTER_AREA)
            canvas[BAR + CAPTION :, left : left + WIDTH] = shown
        edge = BAR + CAPTION
        cv2.rectangle(canvas, (0, edge), (WIDTH - 1, edge + height - 1), COLOURS[sight.state], 3)
        return canvas

    def _shown(self, name: str) -> Picture:
        """One of the panel's pictures: in colour, with outlines."""
        if name in ("live", "blend"):
            return getattr(self, name)
        return self._outlined(np.dstack([getattr(self, name)] * 3))

    def _bar(self, bar: Picture) -> None:
        sight = self._sight
        bar[...] = COLOURS[sight.state]
        end = 14 + write(bar, sight.state.name, (14, 10), 26, (255, 255, 255), bold=True)
        why = because(sight.state, sight.reason)
        line = headline(sight.state) + (f"; {why}" if why else "")
        write(bar, line, (end + 18, 15), 18, (255, 255, 255))
        beside = self._beside()
        if beside:
            write(bar, beside, (bar.shape[1] - 8 - 10 * len(beside), 17), 16, (255, 255, 255))

    def _beside(self) -> str:
        """Where the tumour is, if the plane misses it."""
        tumour, sight = self._scenery.tumour, self._sight
        if tumour is None or not sight.believed or len(tumour.surface.cut(sight.plane)):
            return ""
        z = apply(inverse(sight.plane), tumour.centre)[2]
        return f"tumour {abs(z):.0f} mm {'behind' if z > 0.0 else 'in front of'} this plane"

    def _outlined(self, picture: Picture) -> Picture:
        sight = self._sight
        if not sight.believed:
            return picture
        size = self._images.pixel_size
        for each in self._scenery.structures:
            draw(picture, each.surface.cut(sight.plane), size, each.colour, self._line)
            if each.tumour and sight.covariance is not None:
                far = margin(sight.covariance, sight.plane, self._images.centre, each.centre)
                draw(picture, each.grown(far).cut(sight.plane), size, each.colour, 1)
        return picture
