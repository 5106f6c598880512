"""The valid area of ultrasound frames: given as an image, or found from the frames themselves."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.files import is_file

_DARK = 2  # grey levels that noise reaches where there is no picture
_STILL = 2  # grey levels by which text changes
_LEGIBLE = 32  # grey level above which text on the screen can be read
_ENOUGH_FRAMES = 3  # fewer do not tell tissue from text by its changes
_GAP = 0.006  # of the shorter side: gaps between lit pixels that are closed
_SIZEABLE = 0.1  # of the largest piece: a piece that belongs to the picture
_NARROW_SHADOW = 0.1  # of the width: a shadow from the very top is not wider
_RIM = 0.012  # of the shorter side: width of the outermost rim that is taken away


def read_mask(path: str | Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Read a mask image (.png ...), True where a pixel is not 0, for frames of ``shape`` (rows, columns).

    Raises InputError for a missing or unreadable file, another size than the frames', and a mask without any pixel.
    """
    path = Path(path)
    if not is_file(path):
        raise InputError(f"{path}: no such file")
    _check_image(path, shape)
    try:
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise InputError(f"{path}: cannot be read as an image ({error.err})") from error
    if image is None or image.shape[:2] != tuple(shape):
        raise InputError(f"{path}: cannot be read as an image")
    mask = image != 0 if image.ndim == 2 else (image[..., :3] != 0).any(axis=-1)
    if not mask.any():
        raise InputError(f"{path}: the mask is empty")
    return mask


def _check_image(path: Path, shape: tuple[int, int]) -> None:
    """Refuse what is no image of ``shape`` (rows, columns) by its header, before there is any memory for its pixels."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(f"{path}: cannot be read as an image") from error
    columns, rows = reader.GetSize()[:2]
    if (rows, columns) != tuple(shape):
        raise InputError(f"{path}: the mask has {columns}x{rows} pixels, the frames have {shape[1]}x{shape[0]}")


def find_mask(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Find the valid area (rows, columns) of ``frames`` (N, rows, columns), the probe being at the top.

    Tissue is where a pixel is lit in some frame. From three frames on, what is bright and never changes is text or a
    scale on the screen. The tissue's convex hull bridges shadows and dark depths. What a curved probe cuts out of the
    top of the hull is taken away again, and so is the outermost rim, where frames fade out.

    Raises InputError when no area is found.
    """
    frames = np.asarray(frames)
    brightest = frames.max(axis=0)
    tissue = brightest > _DARK
    if len(frames) >= _ENOUGH_FRAMES:
        changes = brightest - frames.min(axis=0) > _STILL
        tissue &= changes | (brightest < _LEGIBLE)
    tissue = _largest_pieces(tissue)
    hull = _convex_hull(tissue)
    area = hull & ~_probe_face(hull, tissue)
    rim = max(1, round(_RIM * min(area.shape)))
    # Beyond the picture there is nothing, so that the rim is also taken where the area meets the picture's border.
    area = cv2.erode(np.pad(area, 1).astype(np.uint8), _disc(rim), borderValue=0)[1:-1, 1:-1].astype(bool)
    if not area.any():
        raise InputError("the frames show no valid area; give a mask")
    return area


def _disc(radius: int) -> NDArray[np.uint8]:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def _largest_pieces(tissue: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected piece and those not much smaller, without specks; gaps as narrow as speckle are closed."""
    image = cv2.medianBlur(tissue.astype(np.uint8), 5)
    joined = cv2.morphologyEx(image, cv2.MORPH_CLOSE, _disc(max(2, round(_GAP * min(image.shape)))))
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(joined, connectivity=4)
    areas = statistics[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    kept = np.flatnonzero(areas >= max(1, _SIZEABLE * areas.max()))
    return np.isin(labels, kept) & image.astype(bool)


def _convex_hull(tissue: NDArray[np.bool_]) -> NDArray[np.bool_]:
    hull = np.zeros(tissue.shape, np.uint8)
    points = cv2.findNonZero(tissue.astype(np.uint8))
    if points is not None:
        cv2.fillConvexPoly(hull, cv2.convexHull(points), 1)
    return hull.astype(bool)


def _probe_face(hull: NDArray[np.bool_], tissue: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The part of the hull above all tissue of its column, as one broad piece; columns in shadow make narrow ones."""
    above = hull & ~np.maximum.accumulate(tissue, axis=0)
    columns = np.flatnonzero(hull.any(axis=0))
    width = columns.size
    if not width:
        return above
    broad = max(1, round(_NARROW_SHADOW * width))
    return cv2.morphologyEx(above.astype(np.uint8), cv2.MORPH_OPEN, np.ones((1, broad), np.uint8)).astype(bool)
