"""A volume packed for sampling: two loads instead of eight bring the corners around a point.

Intensities are 16-bit codes from 1 to 65535, 0 where there is no data. The four codes around (j, i) of a layer are
packed into one word, so a point needs the word of its own layer and that of the next. A word that lacks one of its four
is 0 as a whole: whether a point is between data is asked of two words, not of eight voxels. A border of one voxel
without data surrounds the volume, so what lies outside may be clamped onto the border and needs no branch either.

Words are stored in bricks of two by two by two, each a line of the processor's cache. So a plane needs as many lines
whichever way it lies; in rows along x, one across x would need a line for each of its points.

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

CACHE_LINE = 8
"""Words that come from memory at once."""


class PackedVolume(NamedTuple):
    """``words`` (z, y, x, 8) in bricks of a volume; the word of its first voxel is number (1, 1, 1).

    Word (k, j, i) is number i % 2 + 2 (j % 2) + 4 (k % 2) of brick (k // 2, j // 2, i // 2). The intensity of a code is
    ``darkest + step (code - 1)``. ``voxel_from_volume`` (4, 4) has no border.
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
    words = _aligned_zeros((*(-(-length // 2) for length in codes.shape), 8))
    _fill(words, codes)
    return PackedVolume(words, darkest, step, volume.voxel_from_volume)


def _aligned_zeros(shape: tuple[int, ...]) -> NDArray[np.uint64]:
    """Zeros, each brick in a cache line of its own; NumPy asks for huge pages, since a plane crosses many."""
    size = int(np.prod(shape))
    room = np.zeros(size + CACHE_LINE, np.uint64)
    start = -room.ctypes.data // room.itemsize % CACHE_LINE
    return room[start : start + size].reshape(shape)


@numba.njit(cache=True, nogil=True)
def _fill(words, codes):  # noqa: ANN001, ANN202 (compiled)
    """Pack the bordered ``codes`` (z, y, x): from (x, y) to (x + 1, y + 1), low bits first."""
    for k in range(codes.shape[0]):
        for j in range(codes.shape[1] - 1):
            for i in range(codes.shape[2] - 1):
                a, b = np.uint64(codes[k, j, i]), np.uint64(codes[k, j, i + 1])
                c, d = np.uint64(codes[k, j + 1, i]), np.uint64(codes[k, j + 1, i + 1])
                if a and b and c and d:
                    word = a | b << np.uint64(16) | c << np.uint64(32) | d << np.uint64(48)
                    words[k // 2, j // 2, i // 2, i % 2 + 2 * (j % 2) + 4 * (k % 2)] = word
