"""What is known of the patient besides the live image: structures to outline, and how unsure their place is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from deeprs2v_ros.anatomy.shapes import outward, sphere
from deeprs2v_ros.anatomy.surface import Surface
from deeprs2v_ros.geometry import Array, apply, inverse, seen_from

TUMOUR = (255, 210, 0)
VESSELS = ((110, 190, 255), (200, 120, 255), (90, 220, 200), (255, 130, 130))
"""RGB of structures; those that are not the tumour take turns."""

WITHIN = 2.795
"""Standard deviations of a point in space within which it is with 95 %: the root of the quantile of chi-squared (3)."""


@dataclass(frozen=True)
class Structure:
    """A closed ``surface`` in the volume frame, mm, with a ``colour`` (RGB); ``tumour`` if it is what is treated.

    ``coarse`` is the same with fewer triangles, for displays in 3D.
    """

    name: str
    surface: Surface
    colour: tuple[int, int, int]
    coarse: Surface
    tumour: bool = False

    @cached_property
    def centre(self) -> Array:
        """The middle of its vertices (3,) mm."""
        return self.surface.vertices.mean(axis=0)

    @cached_property
    def _outward(self) -> Array:
        return outward(self.surface)

    def grown(self, margin: float) -> Surface:
        """Its surface, ``margin`` mm further out."""
        return Surface(self.surface.vertices + margin * self._outward, self.surface.triangles)


def structures(
    surfaces: Mapping[str, Surface], tumour: Array | None, radius: float, coarse: Mapping[str, Surface] | None = None
) -> tuple[Structure, ...]:
    """All ``surfaces`` (volume frame), by name: those with "tumo" in it are tumours.

    If there is none, the tumour is a sphere of ``radius`` mm about ``tumour`` (3,), if that is known. ``coarse`` are
    the same surfaces with fewer triangles, where there are such.
    """
    found: list[Structure] = []
    for name, surface in surfaces.items():
        reduced = (coarse or {}).get(name, surface)
        if "tumo" in name.lower():
            found.append(Structure(name, surface, TUMOUR, reduced, tumour=True))
        else:
            number = sum(not each.tumour for each in found)
            found.append(Structure(name, surface, VESSELS[number % len(VESSELS)], reduced))
    if tumour is not None and not any(each.tumour for each in found):
        ball = sphere(tumour, radius)
        found.append(Structure("tumour", ball, TUMOUR, ball, tumour=True))
    return tuple(found)


def margin(covariance: Array, volume_from_image: Array, about: Array, point: Array) -> float:
    """Within how many mm a ``point`` (3,) of the volume is drawn right with 95 %, in the direction known worst.

    ``covariance`` (6, 6) is that of a small motion of the plane ``volume_from_image`` about
    ``about`` (3,), in image axes.
    """
    lever = apply(inverse(volume_from_image), point) - about
    moved = seen_from(lever)
    worst = np.linalg.eigvalsh((moved @ covariance @ moved.T)[:3, :3])[-1]
    return float(WITHIN * np.sqrt(max(worst, 0.0)))
