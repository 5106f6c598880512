"""A film of the guidance view, as an animated picture that every browser shows."""

from __future__ import annotations

import io
from collections.abc import Iterable
from itertools import pairwise

import cv2
from PIL import Image

from deeprs2v_ros.demo.scenes import Seen
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.imaging.image_geometry import ImageGeometry
from deeprs2v_ros.view.pictures import Scenery, draw_pictures

LENGTH = 10.0
"""Seconds of the film."""
RATE = 10.0
"""Pictures per second at the most."""
WIDTH = 1200
"""Pixels."""
_QUALITY = 55


def film(seen: Iterable[Seen], scenery: Scenery, pixel_size: tuple[float, float], begin: int) -> bytes:
    """Animated WebP of the guidance view from ``begin`` (ns) on, at its own speed.

    ``pixel_size`` is that of the images, (x, y) mm. Raises InputError if nothing was seen then.
    """
    pictures: list[Image.Image] = []
    stamps: list[int] = []
    for stamp, sight in seen:
        since_last = stamp - stamps[-1] if stamps else 1e18
        if not begin <= stamp <= begin + LENGTH * 1e9 or since_last < 0.9e9 / RATE:
            continue
        images = ImageGeometry(sight.frame.shape, pixel_size)
        panel = draw_pictures(sight, scenery, images, ["panel"])["panel"]
        height = round(panel.shape[0] * WIDTH / panel.shape[1])
        pictures.append(Image.fromarray(cv2.resize(panel, (WIDTH, height), interpolation=cv2.INTER_AREA)))
        stamps.append(stamp)
    if not pictures:
        raise InputError("no image is left of when the film begins")
    shown = [max(1, round((after - before) / 1e6)) for before, after in pairwise(stamps)]
    buffer = io.BytesIO()
    pictures[0].save(
        buffer, "WEBP", save_all=True, append_images=pictures[1:], duration=[*shown, 1000], loop=0, quality=_QUALITY,
        method=2,
    )  # fmt: skip
    return buffer.getvalue()
