"""From one encoding to another."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cv_bridge.encodings import CvBridgeError, encoding

CODES = {
    ("gray", "bgr"): cv2.COLOR_GRAY2BGR,
    ("gray", "rgb"): cv2.COLOR_GRAY2RGB,
    ("bgr", "gray"): cv2.COLOR_BGR2GRAY,
    ("bgr", "rgb"): cv2.COLOR_BGR2RGB,
    ("rgb", "gray"): cv2.COLOR_RGB2GRAY,
    ("rgb", "bgr"): cv2.COLOR_RGB2BGR,
}

DEPTH_SCALE = {
    (np.dtype(np.uint8), np.dtype(np.uint16)): 65535.0 / 255.0,
    (np.dtype(np.uint16), np.dtype(np.uint8)): 255.0 / 65535.0,
}


def convert(image: NDArray, source: str, destination: str) -> NDArray:
    """Convert an ``image`` in the encoding ``source`` to the encoding ``destination``, always into a new array.

    Colours change into colours. Plain numbers have no colour, so they change into plain numbers only, with as many
    channels; colours may become plain numbers in the same way. Eight and sixteen bits are scaled to their full range,
    other numbers rounded and clipped. Raises CvBridgeError for anything else.
    """
    before, after = encoding(source), encoding(destination)
    if after.colour and not before.colour and source != destination:
        raise CvBridgeError(
            f"[{source}] is not a color format. but [{destination}] is. The conversion does not make sense"
        )
    if not after.colour and before.channels != after.channels:
        raise CvBridgeError(f"[{source}] and [{destination}] do not have the same number of channels")
    if after.colour and before.colour != after.colour:
        image = cv2.cvtColor(image, CODES[before.colour, after.colour])
    return _with_type(image, after.dtype)


def _with_type(image: NDArray, dtype: np.dtype) -> NDArray:
    scale = DEPTH_SCALE.get((image.dtype, dtype), 1.0)
    if image.dtype == dtype or not np.issubdtype(dtype, np.integer):
        return image.astype(dtype)
    bounds = np.iinfo(dtype)
    return np.clip(np.rint(np.nan_to_num(image * scale)), bounds.min, bounds.max).astype(dtype)
