"""How an ultrasound sequence says that the probe moved: shift in the plane, and decorrelation of speckle across it.

Frames i and j are compared patch by patch. The peak of the correlation is at the patch's shift in the plane; its height
falls with the distance between the planes there (speckle decorrelation; Chang et al., Ultrasound Med Biol 2003). Long
structure is filtered out first, so that speckle decides. Only patches near the probe are used: there speckle is fine,
and the heart moves little.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array

Progress = Callable[[int, int], None]

FINEST_PIXEL = 0.4  # mm: finer images are reduced to it
_NEAR = 0.62  # of the depth, from the top
_PATCH = 6.0  # mm, half a side
_SEARCH = 2.8  # mm
_HIGH_PASS = 3.0  # mm
_FLAT = 2.0  # grey levels of texture below which there is only noise
_MOST_STEPS, _LONGEST = 6, 0.35  # frames and s between the two of a pair
_FEWEST_PATCHES = 12
_CORRELATIONS = (0.02, 0.995)
_BANDS = 3
_ROUNDS, _LEVEL = 12, 0.05  # of the robust fit; mm below which residuals count alike


@dataclass(frozen=True)
class ImageMotion:
    """What M pairs of frames show.

    ``pairs`` (M, 2) indices of frames. ``points`` (P, 3) mm are the patches' centres in the image frame. ``shift``
    (M, 3) mm is where tissue went: x, y, and the turn about the points' centre times their RMS distance from it.
    ``weight`` (M,) grows with its certainty. ``decorrelation`` (M, B) is -log of the correlation, a median for each of
    the ``bands`` (B, P) of depth.
    """

    pairs: NDArray[np.int64]
    points: Array
    shift: Array
    weight: Array
    decorrelation: Array
    bands: NDArray[np.bool_]


def measure_motion(
    frames: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    pixel_size: tuple[float, float],
    times: Array,
    progress: Progress = lambda done, total: None,
) -> ImageMotion:
    """Compare every frame of ``frames`` (N, rows, columns) with the next ones, ``times`` (N,) s.

    ``mask`` (rows, columns) is the valid area and ``pixel_size`` (x, y) mm. ``progress`` is told how many frames are
    done, and of how many. Raises InputError for a valid area that holds too few patches.
    """
    step = max(FINEST_PIXEL, *pixel_size)
    size = [max(1, round(n * p / step)) for n, p in zip(mask.shape[::-1], pixel_size, strict=True)]
    small_mask = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)
    half, reach = round(_PATCH / step), round(_SEARCH / step)
    corners = _patches(small_mask, half, reach)
    if len(corners) < _FEWEST_PATCHES:
        raise InputError(f"the valid area holds {len(corners)} patches of {2 * _PATCH:g} mm, {_FEWEST_PATCHES} needed")
    points = np.column_stack([(corners + half + reach) * step, np.zeros(len(corners))])

    speckle = [_speckle(cv2.resize(f, size, interpolation=cv2.INTER_AREA), small_mask, step) for f in frames]
    pairs, shifts, peaks = [], [], []
    for i in range(len(frames)):
        for j in range(i + 1, min(i + 1 + _MOST_STEPS, len(frames))):
            if times[j] - times[i] <= _LONGEST:
                found = np.array([_match(speckle[i], speckle[j], corner, half, reach) for corner in corners])
                pairs.append((i, j))
                shifts.append(found[:, :2] * step)
                peaks.append(found[:, 2])
        progress(i + 1, len(frames))
    correlation = np.clip(np.array(peaks).reshape(-1, len(points)), *_CORRELATIONS)
    # Cramer-Rao: the variance of a shift between signals with this correlation is proportional to the inverse.
    certainty = correlation**2 / (1.0 - correlation**2)
    shift = np.array([_rigid(s, c, points[:, :2]) for s, c in zip(shifts, certainty, strict=True)]).reshape(-1, 3)
    edges = np.quantile(points[:, 1], np.linspace(0.0, 1.0, _BANDS + 1))
    bands = np.array([(points[:, 1] >= a) & (points[:, 1] <= b) for a, b in pairwise(edges)])
    return ImageMotion(
        np.array(pairs, dtype=np.int64).reshape(-1, 2),
        points,
        shift,
        np.minimum(certainty.mean(axis=1), 10.0),  # noise of other kinds bounds what speckle alone would allow
        np.stack([np.median(-np.log(correlation[:, band]), axis=1) for band in bands], axis=1),
        bands,
    )


def lever(points: Array) -> float:
    """RMS distance (mm) of ``points`` (P, 3) from their centre."""
    return float(np.sqrt(np.sum((points - points.mean(axis=0)) ** 2, axis=1).mean()))


def _patches(mask: NDArray[np.bool_], half: int, reach: int) -> NDArray[np.int64]:
    """Left upper corners (P, 2), as (u, v), of the areas that patches are looked for in."""
    rows = np.flatnonzero(mask.any(axis=1))
    deepest = rows[0] + _NEAR * (rows[-1] - rows[0])
    side = 2 * (half + reach) + 1
    corners = [
        (u, v)
        for v in range(0, mask.shape[0] - side + 1, 2 * half)
        for u in range(0, mask.shape[1] - side + 1, 2 * half)
        if v + half + reach <= deepest and mask[v : v + side, u : u + side].all()
    ]
    return np.array(corners, dtype=np.int64).reshape(-1, 2)


def _speckle(frame: NDArray[np.uint8], mask: NDArray[np.bool_], step: float) -> NDArray[np.float32]:
    """The frame without its local mean, divided by its local contrast."""
    inside, image = mask.astype(np.float32), frame.astype(np.float32)
    sigma = _HIGH_PASS / step

    def local_mean(values: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
        weight = cv2.GaussianBlur(inside, (0, 0), sigma)
        return cv2.GaussianBlur(values * inside, (0, 0), sigma) / np.maximum(weight, 1e-6)

    detail = (image - local_mean(image, sigma)) * inside
    return detail / (np.sqrt(local_mean(detail**2, 2.0 * sigma)) + _FLAT)


def _match(
    first: NDArray[np.float32], second: NDArray[np.float32], corner: NDArray[np.int64], half: int, reach: int
) -> tuple[float, float, float]:
    """Shift (x, y) in pixels of a patch from the first to the second frame, and the correlation there."""
    u, v = corner
    side, outer = 2 * half + 1, 2 * (half + reach) + 1
    patch = first[v + reach : v + reach + side, u + reach : u + reach + side]
    surface = cv2.matchTemplate(second[v : v + outer, u : u + outer], patch, cv2.TM_CCORR_NORMED)
    _, height, _, (x, y) = cv2.minMaxLoc(surface)
    dx, rise_x = _vertex(surface[y, x - 1 : x + 2])
    dy, rise_y = _vertex(surface[y - 1 : y + 2, x] if y else surface[:0, x])
    return x - reach + dx, y - reach + dy, height + rise_x + rise_y


def _vertex(values: NDArray[np.float32]) -> tuple[float, float]:
    """Where a parabola through three values about a maximum has its vertex, and how far that lies above the middle."""
    if len(values) < 3:
        return 0.0, 0.0
    before, here, after = (float(value) for value in values)
    bend = before - 2.0 * here + after
    if bend >= 0.0:
        return 0.0, 0.0
    offset = 0.5 * (before - after) / bend
    return offset, -0.25 * (before - after) * offset


def _rigid(shifts: Array, weights: Array, points: Array) -> Array:
    """Motion (3,) of `ImageMotion.shift` that patches at ``points`` (P, 2) share: least absolute deviations."""
    away = points - points.mean(axis=0)
    radius = np.sqrt(np.sum(away**2, axis=1).mean())
    design = np.zeros((2 * len(points), 3))
    design[0::2, 0] = design[1::2, 1] = 1.0
    design[0::2, 2], design[1::2, 2] = -away[:, 1] / radius, away[:, 0] / radius
    target, weight = shifts.ravel(), np.repeat(weights, 2)
    robust = weight
    for _ in range(_ROUNDS):
        root = np.sqrt(robust)
        motion = np.linalg.lstsq(design * root[:, None], target * root, rcond=None)[0]
        robust = weight / np.maximum(np.abs(target - design @ motion), _LEVEL)
    return motion
