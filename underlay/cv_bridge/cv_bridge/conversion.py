"""From one encoding to another."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cv_bridge.encodings import CvBridgeError, encoding

DEPTH_SCALE = {(1, 2): 65535.0 / 255.0, (2, 1): 255.0 / 65535.0}
"""By the bytes of a number before and after."""


def convert(image: NDArray, source: str, destination: str) -> NDArray | None:
    """Convert an ``image`` in the encoding ``source`` to the encoding ``destination``, always into a new array.

    Colours change into colours. Plain numbers have no colour, so they change into plain numbers only, with as many
    channels; colours may become plain numbers in the same way. Eight and sixteen bits are scaled to their full range,
    other numbers rounded and clipped. Raises CvBridgeError for anything else. An image without pixels becomes None.
    """
    before, after = encoding(source), encoding(destination)
    if after.colour and not before.colour and source != destination:
        raise CvBridgeError(
            f"[{source}] is not a color format. but [{destination}] is. The conversion does not make sense"
        )
    if not after.colour and before.channels != after.channels:
        raise CvBridgeError(f"[{source}] and [{destination}] do not have the same number of channels")
    if after.colour and before.colour != after.colour:
        try:
            image = cv2.cvtColor(image, getattr(cv2, f"COLOR_{before.colour}2{after.colour}"))
        except cv2.error as error:
            raise CvBridgeError(error) from error
    return _with_type(image, after.dtype) if image.size else None


def _with_type(image: NDArray, dtype: np.dtype) -> NDArray:
    if image.dtype == dtype or not np.issubdtype(dtype, np.integer):
        return image.astype(dtype)
    scale, bounds = DEPTH_SCALE.get((image.itemsize, dtype.itemsize), 1.0), np.iinfo(dtype)
    return np.clip(np.rint(np.nan_to_num(image * scale)), bounds.min, bounds.max).astype(dtype)
