"""Outlines: where the plane of a picture cuts a surface."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.geometry import Array
from deeprs2v_ros.imaging.slicing import Lattice

Picture = NDArray[np.uint8]

_SHIFT = 4  # bits of a pixel's fraction
_FARTHEST = 2**15  # pixels: what lies farther outside is not drawn
_SHADOW = (0, 0, 0)


def draw(picture: Picture, segments: Array, lattice: Lattice, colour: tuple[int, int, int], width: int) -> None:
    """Draw ``segments`` (K, 2, 2), image coordinates (x, y) mm, into a ``picture`` (rows, columns, 3).

    ``lattice`` says where its pixels are. Lines are ``width`` pixels wide; wide ones have a dark rim, so that they show
    on bright tissue, which would drown thin ones.
    """
    pixels = (np.asarray(segments, float) - lattice.origin) / lattice.spacing
    pixels = pixels[(np.abs(pixels) < _FARTHEST).all(axis=(1, 2))]
    if not len(pixels):
        return
    lines = np.rint(pixels * 2**_SHIFT).astype(np.int32)
    if width > 1:
        cv2.polylines(picture, lines, False, _SHADOW, width + 2, cv2.LINE_AA, _SHIFT)
    cv2.polylines(picture, lines, False, colour, width, cv2.LINE_AA, _SHIFT)
