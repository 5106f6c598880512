"""A liver and what surrounds it, different for every seed, at rest in the volume frame.

The volume frame is the patient's: x to the left, y to the back, z to the head, origin on the skin where the probe
stands at first. Amplitudes of scattering are relative to liver parenchyma, losses are for about 3 MHz.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from deeprs2v_ros.geometry import Array
from deeprs2v_ros.simulation.tissue import Tissue
from deeprs2v_ros.simulation.vessels import VesselTree

_LOW, _HIGH = np.array([-115.0, 0.0, -105.0]), np.array([115.0, 168.0, 105.0])  # the region, xyz mm
_WALL_MM = 14.0

Field = NDArray[np.float32]


class Region(IntEnum):
    """What a voxel of the organ is, for whoever images it in another way than by ultrasound."""

    LIVER = 0
    VESSEL = 1
    TUMOUR = 2
    FAT = 3
    BOWEL = 4
    BILE = 5
    KIDNEY = 6
    SINUS = 7
    LUNG = 8
    STONE = 9


@dataclass(frozen=True)
class Liver:
    """One subject. ``organ`` moves with breathing; ``wall``, the abdominal wall in front of y = ``wall_mm``, does not.

    ``tumour_centre`` (3,) and ``tumour_semi_axes`` (3,) describe an ellipsoid along the axes of the volume frame,
    ``bifurcations`` (N, 3) the landmarks where vessels divide; all in mm, at rest. ``regions`` uint8 holds a `Region`
    for every voxel of ``organ``, or a single one for all of them; blood in the tumour is a vessel.
    """

    seed: int
    organ: Tissue
    wall: Tissue
    wall_mm: float
    tumour_centre: Array
    tumour_semi_axes: Array
    bifurcations: Array
    regions: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((1, 1, 1), dtype=np.uint8))


def make_liver(seed: int, tumour_contrast_db: float = -4.0, calcification: bool = True, spacing: float = 1.0) -> Liver:
    """Draw a subject from ``seed``: liver with vessels and a tumour, the organs around it, and the abdominal wall.

    ``tumour_contrast_db`` is the tumour's echo against the parenchyma's: near 0 only its rim gives it away.
    ``calcification`` puts a small stone with its shadow beside the portal vein. ``spacing`` is the voxels' edge in mm.
    """
    rng = np.random.default_rng(seed)
    shape = tuple(int(size) for size in np.ceil((_HIGH - _LOW) / spacing)[::-1])
    x, y, z = (_LOW[axis] + spacing * np.arange(size, dtype=np.float32) for axis, size in enumerate(shape[::-1]))
    grid = x[None, None, :], y[None, :, None], z[:, None, None]

    fine, coarse, broad = (_noise(shape, length / spacing, rng) for length in (5.0, 24.0, 50.0))
    echo = (1.0 + 0.14 * fine + 0.12 * coarse).astype(np.float32)
    loss = np.full(shape, 0.30, dtype=np.float32)
    regions = np.full(shape, Region.LIVER, dtype=np.uint8)

    def paint(distance: Field, amplitude: float | Field, attenuation: float, region: Region | None = None) -> None:
        """Fill where ``distance`` is negative; its edge, half a voxel wide on either side, is a mixture.

        A wall, without a ``region`` of its own, stays what it surrounds.
        """
        share = np.clip(0.5 - distance / spacing, 0.0, 1.0)
        echo[...] += share * (amplitude - echo)
        loss[...] += share * (attenuation - loss)
        if region is not None:
            regions[distance < 0.0] = region

    centre = np.array([-6.0, 52.0, -22.0]) + rng.uniform(-4.0, 4.0, size=3)
    axes = np.array([122.0, 72.0, 98.0]) * rng.uniform(0.95, 1.05, size=3)
    outside = _ellipsoid(grid, centre, axes) + 2.5 * coarse + 2.5 * broad
    lower_edge = -68.0 + rng.uniform(-8.0, 8.0)
    below = (lower_edge - grid[2]) + 0.25 * (grid[1] - 60.0) + 3.0 * coarse  # positive under the liver's lower edge

    def inside(point: Array) -> bool:
        return bool(
            np.linalg.norm((point - centre) / axes) < 0.95
            and point[2] > lower_edge + 0.25 * (point[1] - 60.0) + 5.0
            and point[1] > _WALL_MM
        )

    hepatic, portal = _grow_trees(inside, rng)
    reach = 3.0
    hepatic_wall = hepatic.signed_distance(shape, _LOW, spacing, reach)
    portal_wall = portal.signed_distance(shape, _LOW, spacing, reach)

    tumour_axes = rng.uniform(8.5, 11.5, size=3)
    tumour_centre = _tumour_place(np.minimum(hepatic_wall, portal_wall), spacing, tumour_axes.max(), inside, rng)
    tumour = _ellipsoid(grid, tumour_centre, tumour_axes)

    paint(portal_wall - 1.3, 3.2, 0.32)
    paint(hepatic_wall - 0.5, 1.35, 0.30)
    paint(tumour - 1.2, 1.0 + 0.9 * (1.0 + 0.3 * fine), 0.34)
    paint(tumour, 10.0 ** (tumour_contrast_db / 20.0) * (1.0 + 0.18 * fine), 0.36, Region.TUMOUR)
    blood = np.minimum(hepatic_wall, portal_wall)
    paint(blood, 0.035, 0.10, Region.VESSEL)

    paint(-outside, 1.5 * (1.0 + 0.4 * fine + 0.25 * coarse), 0.42, Region.FAT)  # fat and muscle around the liver
    bowel = 1.3 * np.clip(1.0 + 0.7 * fine + 0.5 * coarse, 0.05, None)  # and fat
    paint(-below, bowel, 0.50, Region.BOWEL)
    place = np.array([-26.0, 62.0, lower_edge + 16.0]) + rng.uniform(-5.0, 5.0, size=3)
    gallbladder = _ellipsoid(grid, place, np.array([12.0, 13.0, 28.0])) + 1.5 * coarse
    paint(gallbladder - 1.8, 3.0, 0.32)
    paint(gallbladder, 0.02, 0.04, Region.BILE)
    place = np.array([-54.0, 96.0, lower_edge + 14.0]) + rng.uniform(-5.0, 5.0, size=3)
    kidney = _ellipsoid(grid, place, np.array([25.0, 23.0, 46.0])) + 1.5 * coarse
    sinus = _ellipsoid(grid, place, np.array([9.0, 8.0, 30.0])) + 1.5 * coarse + 1.5 * fine
    paint(kidney - 1.0, 3.0, 0.32)
    paint(kidney, 0.55 * (1.0 + 0.15 * fine), 0.30, Region.KIDNEY)
    paint(sinus, 2.2 * np.clip(1.0 + 0.4 * fine, 0.1, None), 0.40, Region.SINUS)
    vena_cava = np.hypot(grid[0] - 12.0, (grid[1] - 104.0) / 0.8) - 9.0 + 0.0 * grid[2]
    paint(vena_cava - 1.0, 1.8, 0.30)
    paint(vena_cava, 0.035, 0.10, Region.VESSEL)

    dome = np.where(grid[2] > lower_edge + 25.0, np.abs(outside - 1.0) - 0.9, 1e3).astype(np.float32)
    lung = np.where(grid[2] > lower_edge + 25.0, 2.5 - outside, 1e3).astype(np.float32)
    paint(lung, 0.9 * (1.0 + 0.3 * fine), 1.1, Region.LUNG)
    paint(dome, 9.0 * np.exp(0.5 * coarse + 0.4 * fine), 0.9)
    if calcification:
        paint(_ellipsoid(grid, _beside(portal), np.array([3.2, 2.6, 3.2])), 14.0, 9.0, Region.STONE)

    bifurcations = np.array([point for point in hepatic.bifurcations + portal.bifurcations if inside(point)])
    return Liver(
        seed=seed,
        organ=Tissue(np.maximum(echo, 0.0), loss, _LOW.copy(), spacing),
        wall=_abdominal_wall(spacing, rng),
        wall_mm=_WALL_MM,
        tumour_centre=tumour_centre,
        tumour_semi_axes=tumour_axes,
        bifurcations=bifurcations.reshape(-1, 3),
        regions=regions,
    )


def _grow_trees(inside: Callable[[Array], bool], rng: np.random.Generator) -> tuple[VesselTree, VesselTree]:
    """Hepatic veins, which leave the vena cava, and the portal vein, which enters from below."""
    hepatic, portal = VesselTree(), VesselTree()
    cava = np.array([10.0, 97.0, 28.0])
    for heading in ((-0.9, -0.35, -0.25), (-0.3, -0.85, -0.45), (0.75, -0.6, -0.25)):
        hepatic.grow(cava, heading + rng.normal(scale=0.12, size=3), rng.uniform(5.0, 6.2), inside, rng)
    hilum = np.array([6.0, 76.0, -42.0]) + rng.uniform(-4.0, 4.0, size=3)
    for heading in ((-0.8, -0.1, 0.35), (0.7, -0.45, 0.4), (-0.35, -0.75, 0.3), (-0.5, 0.5, 0.5)):
        portal.grow(hilum, heading + rng.normal(scale=0.12, size=3), rng.uniform(4.2, 5.6), inside, rng)
    return hepatic, portal


def _tumour_place(
    blood: Field, spacing: float, radius: float, inside: Callable[[Array], bool], rng: np.random.Generator
) -> Array:
    """A place under the probe where the tumour pushes the fewest vessels aside."""
    size = math.ceil((radius + 3.0) / spacing)
    best, least = np.zeros(3), math.inf
    for _ in range(300):
        point = rng.uniform([-28.0, 45.0, -18.0], [28.0, 85.0, 18.0])
        i, j, k = np.round((point - _LOW) / spacing).astype(int)
        near = blood[k - size : k + size, j - size : j + size, i - size : i + size]
        share = float(np.mean(near < 0.0))
        if inside(point) and share < least:
            best, least = point, share
    return best


def _beside(tree: VesselTree) -> Array:
    """A point on the wall of the first thick branch."""
    piece = np.array(tree.pieces[min(8, len(tree.pieces) - 1)])
    return piece[:3] - np.array([0.0, piece[6], 0.0])


def _abdominal_wall(spacing: float, rng: np.random.Generator) -> Tissue:
    """Skin, fat with fibrous strands and muscle, in layers that undulate, and two ribs towards the head."""
    low = np.array([_LOW[0], -12.0, _LOW[2]])
    high = np.array([_HIGH[0], _WALL_MM + 2.0, _HIGH[2]])
    shape = tuple(int(size) for size in np.ceil((high - low) / spacing)[::-1])
    x, y, z = (low[axis] + spacing * np.arange(size, dtype=np.float32) for axis, size in enumerate(shape[::-1]))
    bow = np.minimum((x[None, None, :] ** 2 + z[:, None, None] ** 2) / 170.0, 10.0)  # the probe's face presses in
    flat = (shape[0], 1, shape[2])
    depth = y[None, :, None] + bow + 1.0 * _noise(flat, 16.0 / spacing, rng)
    layering = depth / 3.1 + 0.35 * _noise(flat, 11.0 / spacing, rng) + 0.25 * _noise(shape, 9.0 / spacing, rng)
    streaks = np.clip(np.sin(2.0 * math.pi * layering), 0.0, None)
    fine = _noise(shape, 4.0 / spacing, rng)
    fat = 0.8 + 1.2 * streaks**3 + 0.2 * fine
    muscle = 0.5 + 2.0 * streaks**8 * np.clip(0.6 + fine, 0.0, None)
    echo = np.where(depth < 1.6, 2.2, np.where(depth < 7.0, fat, muscle))
    for fascia in (7.0, 13.0):
        echo = np.where(np.abs(depth - fascia) < 0.6, 3.5, echo)
    loss = np.full(shape, 0.35)
    for height in (36.0, 66.0):
        rib = np.hypot(y[None, :, None] - 9.5, z[:, None, None] - height - 0.3 * x[None, None, :]) < 4.5
        echo, loss = np.where(rib, 12.0, echo), np.where(rib, 5.0, loss)
    return Tissue(np.clip(echo, 0.0, None).astype(np.float32), loss.astype(np.float32), low, spacing)


def _ellipsoid(grid: tuple[Field, Field, Field], centre: Array, axes: Array) -> Field:
    """Roughly the distance (mm) to an ellipsoid's surface, negative inside: exact for a sphere."""
    squared = sum(((along - c) / a) ** 2 for along, c, a in zip(grid, centre, axes, strict=True))
    steepness = sum(((along - c) / a**2) ** 2 for along, c, a in zip(grid, centre, axes, strict=True))
    squared = np.maximum(squared, 1e-6)
    steepness = np.maximum(steepness, 1e-6 / axes.max() ** 2)
    return ((squared - np.sqrt(squared)) / np.sqrt(steepness)).astype(np.float32)


def _noise(shape: tuple[int, ...], scale: float, rng: np.random.Generator) -> Field:
    """Smooth random field of mean about 0, standard deviation about 1 and a correlation length of ``scale`` voxels."""
    field = gaussian_filter(rng.normal(size=[math.ceil(size / scale) + 2 for size in shape]), 0.8)
    field = (field / field.std()).astype(np.float32)
    for axis, size in enumerate(shape):
        place = np.arange(size) / scale
        before = place.astype(int)
        share = np.expand_dims((place - before).astype(np.float32), tuple(range(1, len(shape) - axis)))
        field = field.take(before, axis) * (1.0 - share) + field.take(before + 1, axis) * share
    return field
