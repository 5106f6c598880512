"""Grey levels of images in the encodings of ROS (``sensor_msgs/image_encodings``).

- Grey and colours, with 8 or 16 bits a number. A colour becomes 0.299 R + 0.587 G + 0.114 B; alpha is left out.
- Plain numbers such as 8UC1 or 16UC3, as OpenCV has them: one is grey, three are BGR, four are BGRA.
- Bayer patterns, of which OpenCV makes the colour of each pixel first.
- YUV: its Y as it is. A machine that keeps Y within 16..235 gives a picture of less contrast.

Sixteen bits are scaled over their full range: v becomes v * 255 / 65535, rounded. Ten or twelve bits that were not
spread over sixteen therefore become dark.

All others are refused, for nothing says which of their numbers is black and which is white: floats and signed numbers
have no range, and pairs of numbers no meaning.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import itemgetter

import cv2
import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError


@dataclass(frozen=True)
class _Pixels:
    """Each pixel is some ``channels`` of numbers; ``grey`` makes (rows, columns) of (rows, columns, channels)."""

    dtype: np.dtype
    channels: int
    grey: Callable[[NDArray], NDArray]


def _channel(index: int) -> Callable[[NDArray], NDArray]:
    return itemgetter((..., index))


def _by(code: int) -> Callable[[NDArray], NDArray]:
    return partial(cv2.cvtColor, code=code)


def _of_depth(bits: int) -> dict[str, _Pixels]:
    number = np.dtype(f"u{bits // 8}")
    grey = _Pixels(number, 1, _channel(0))
    bgr, bgra = _Pixels(number, 3, _by(cv2.COLOR_BGR2GRAY)), _Pixels(number, 4, _by(cv2.COLOR_BGRA2GRAY))
    return {
        f"mono{bits}": grey,
        f"rgb{bits}": _Pixels(number, 3, _by(cv2.COLOR_RGB2GRAY)),
        f"bgr{bits}": bgr,
        f"rgba{bits}": _Pixels(number, 4, _by(cv2.COLOR_RGBA2GRAY)),
        f"bgra{bits}": bgra,
        f"{bits}UC1": grey,
        f"{bits}UC3": bgr,
        f"{bits}UC4": bgra,
        # ROS names a pattern by its first pixels, OpenCV by those one row and one column further.
        f"bayer_rggb{bits}": _Pixels(number, 1, _by(cv2.COLOR_BayerBG2GRAY)),
        f"bayer_bggr{bits}": _Pixels(number, 1, _by(cv2.COLOR_BayerRG2GRAY)),
        f"bayer_gbrg{bits}": _Pixels(number, 1, _by(cv2.COLOR_BayerGR2GRAY)),
        f"bayer_grbg{bits}": _Pixels(number, 1, _by(cv2.COLOR_BayerGB2GRAY)),
    }


_UYVY, _YUYV = _Pixels(np.dtype("u1"), 2, _channel(1)), _Pixels(np.dtype("u1"), 2, _channel(0))
_PACKED = {
    **_of_depth(8),
    **_of_depth(16),
    "uyvy": _UYVY,
    "yuv422": _UYVY,  # the former name
    "yuyv": _YUYV,
    "yuv422_yuy2": _YUYV,  # the former name
}
_CHROMA_ROWS = {"nv21": lambda rows: (rows + 1) // 2, "nv24": lambda rows: 2 * rows}
"""How many rows as long as those of Y hold the colours, which come after all of Y."""
_PLAIN = re.compile(r"(8|16|32|64)[USF]C\d*")


def grey_levels(
    data: NDArray[np.uint8], shape: tuple[int, int], encoding: str, step: int, is_bigendian: bool
) -> NDArray[np.uint8]:
    """Grey levels (rows, columns) of an image, in memory of their own.

    ``data`` are its bytes, ``shape`` (rows, columns), ``step`` the bytes from one row to the next. Of planar encodings,
    nv21 and nv24, the rows of Y are ``step`` long, or else nothing is padded and all bytes are ``step`` times rows.

    Raises InputError for an encoding that has no grey levels, and unless the bytes are exactly those of the image.
    """
    rows, columns = shape
    fault = f"image: {len(data)} bytes in rows of {step} are not {columns} x {rows} pixels of {encoding[:40]!r}"
    if encoding in _CHROMA_ROWS:
        rows_in_all = rows + _CHROMA_ROWS[encoding](rows)
        padded = len(data) == step * rows_in_all
        if not padded and not len(data) == columns * rows_in_all == step * rows:
            raise InputError(fault)
        stride, pixels = step if padded else columns, _PACKED["mono8"]
        data = data[: stride * rows]
    elif encoding in _PACKED:
        stride, pixels = step, _PACKED[encoding]
    else:
        raise InputError(_refusal(encoding))
    row = columns * pixels.channels * pixels.dtype.itemsize
    if not rows or not row or stride < row or len(data) != stride * rows:
        raise InputError(fault)
    stored = pixels.dtype.newbyteorder(">" if is_bigendian else "<")
    packed = data.reshape(rows, stride)[:, :row].copy()
    numbers = packed.view(stored).astype(pixels.dtype, copy=False).reshape(rows, columns, pixels.channels)
    grey = np.ascontiguousarray(pixels.grey(numbers))
    return grey if grey.dtype == np.uint8 else np.rint(grey * (255.0 / 65535.0)).astype(np.uint8)


def _refusal(encoding: str) -> str:
    if _PLAIN.fullmatch(encoding):
        return f"image: the encoding {encoding!r} does not say which numbers are black and white"
    return f"image: the encoding {encoding[:40]!r} is not known"
