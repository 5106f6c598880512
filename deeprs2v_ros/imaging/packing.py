"""A volume packed for sampling: two loads instead of eight bring the corners around a point.

Intensities are 16-bit codes from 1 to 65535, 0 where there is no data. The four codes around (j, i) of a layer are
packed into one word, so a point needs the word of its own layer and that of the next. A word that lacks one of its four
is 0 as a whole: whether a point is between data is asked of two words, not of eight voxels. A border of one voxel
without data surrounds the volume, so what lies outside may be clamped onto the border and needs no branch either.

An 8-bit volume keeps its values to the last digit; of any other, the steps of 1 / 65534 of the range of the
intensities are far below speckle.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.geometry import Array
from deeprs2v_ros.imaging.slicing import SampledVolume

LAST_CODE = 65535


class PackedVolume(NamedTuple):
    """``words`` (z + 2, y + 1, x + 1) of a volume of (z, y, x) voxels; the first voxel is in word (1, 1, 1).

    The intensity of a code is ``darkest + step (code - 1)``. ``voxel_from_volume`` (4, 4) has no border.
    """

    words: NDArray[np.uint64]
    darkest: float
    step: float
    voxel_from_volume: Array


def pack(volume: SampledVolume) -> PackedVolume:
    """Pack a ``volume``, in which NaN is no data."""
    known = np.isfinite(volume.array)
    data = volume.array[known]
    darkest, brightest = (float(data.min()), float(data.max())) if data.size else (0.0, 0.0)
    step = (brightest - darkest) / (LAST_CODE - 1) or 1.0
    codes = np.zeros(np.add(volume.array.shape, 2), np.uint16)
    codes[1:-1, 1:-1, 1:-1][known] = np.rint((data - np.float64(darkest)) / step) + 1
    depth, height, width = codes.shape
    words = np.zeros((depth, height - 1, width - 1), np.uint64)  # NumPy asks for huge pages: a plane crosses many
    _fill(words, codes)
    return PackedVolume(words, darkest, step, volume.voxel_from_volume)


@numba.njit(cache=True, nogil=True)
def _fill(words, codes):  # noqa: ANN001, ANN202 (compiled)
    """Pack the bordered ``codes`` (z, y, x): from (x, y) to (x + 1, y + 1), low bits first."""
    depth, height, width = words.shape
    for k in range(depth):
        for j in range(height):
            for i in range(width):
                a, b = np.uint64(codes[k, j, i]), np.uint64(codes[k, j, i + 1])
                c, d = np.uint64(codes[k, j + 1, i]), np.uint64(codes[k, j + 1, i + 1])
                if a and b and c and d:
                    words[k, j, i] = a | b << np.uint64(16) | c << np.uint64(32) | d << np.uint64(48)
