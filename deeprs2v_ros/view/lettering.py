"""Text in pictures."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from matplotlib import get_data_path
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.uint8]

_FONTS = {False: "DejaVuSans.ttf", True: "DejaVuSans-Bold.ttf"}  # they come with matplotlib


def write(
    picture: Picture, text: str, place: tuple[int, int], size: int, colour: tuple[int, int, int], bold: bool = False
) -> int:
    """Write into a ``picture`` (rows, columns, 3) with the upper left corner at ``place`` (x, y), cut off at its edges.

    Letters are ``size`` pixels high. Returns the width of the text in pixels.
    """
    letters = _letters(text, size, bold)
    x, y = place
    rows, columns = picture.shape[:2]
    height, width = min(letters.shape[0], rows - y), min(letters.shape[1], columns - x)
    if height > 0 and width > 0:
        share = letters[:height, :width, None]
        under = picture[y : y + height, x : x + width]
        under[...] = (under + share * (np.array(colour, np.float32) - under)).astype(np.uint8)
    return letters.shape[1]


@lru_cache(maxsize=256)
def _letters(text: str, size: int, bold: bool) -> NDArray[np.float32]:
    """How much of each pixel the text covers (rows, columns), 0 to 1."""
    font = _font(size, bold)
    ascent, descent = font.getmetrics()
    canvas = Image.new("L", (max(1, round(font.getlength(text)) + 1), ascent + descent))
    ImageDraw.Draw(canvas).text((0, 0), text, fill=255, font=font)
    return np.asarray(canvas, np.float32) / np.float32(255.0)


@lru_cache(maxsize=16)
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(f"{get_data_path()}/fonts/ttf/{_FONTS[bold]}", size)
