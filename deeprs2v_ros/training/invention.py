"""Invented anatomies: what a network must not learn from any one simulator or patient, it is shown at random.

A network that only ever sees livers learns livers, and the shadows of one acquisition with them. So a part of its
training is on bodies that nobody has: random layers under random skin, organs, vessels, lumps, wires and ribs, in any
contrast, seen twice, from directions of their own. Echoes and attenuation belong to the body and are the same in
volume and frame; interface echoes, shadows, enhancement behind fluid, gain and speckle belong to the acquisition. The
idea is that of SynthMorph (Hoffmann et al., IEEE TMI 2022).

Everything is drawn at the grid's spacing, where speckle is noise: inventing a clip takes a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn import functional

from deeprs2v_ros.geometry import Array, rigid
from deeprs2v_ros.imaging.slicing import SampledVolume
from deeprs2v_ros.network.observation import Grid, VolumeSpatialTransformer, interpolate, points_on
from deeprs2v_ros.training.clips import Clip

EXTENT = (250.0, 200.0, 170.0)
"""mm: the body in which volume and frames are cut, along x, y (depth), z."""

VIEW = (25.0, 20.0, 20.0)
"""Degrees: at most so far about x, y, z is a frame turned from the direction in which the volume was acquired."""


class Body(NamedTuple):
    """Echo strength ``echo`` in [0, 1] and ``attenuation`` (brightness lost per mm) of tissue, each (z, y, x).

    Less than no attenuation is that of fluid, behind which a machine that expects tissue shows everything brighter.
    """

    echo: Tensor
    attenuation: Tensor


def invent_clip(rng: np.random.Generator, grid: Grid, frames: int, device: torch.device | str = "cpu") -> Clip:
    """A volume on ``grid``'s spacing and so many ``frames`` of the same body, with their true poses, on ``device``."""
    inventor = _Inventor(rng, grid.spacing, torch.device(device))
    body = inventor.body()
    volume = inventor.volume(body)
    poses = np.stack([inventor.pose() for _ in range(frames)])
    views = [inventor.frame(body, volume.voxel_from_volume @ pose, grid) for pose in poses]
    return Clip("invented", torch.stack(views), poses, VolumeSpatialTransformer(volume).to(device))


class _Inventor:
    def __init__(self, rng: np.random.Generator, spacing: float, device: torch.device) -> None:
        self._rng = rng
        self._spacing = spacing
        self._device = device
        self._generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
        columns, rows, slices = (int(length / spacing) for length in EXTENT)
        self._shape = (slices, rows, columns)
        self._z = spacing * (torch.arange(slices, device=device) - (slices - 1) / 2.0)[:, None, None]
        self._y = spacing * torch.arange(rows, device=device)[:, None]
        self._x = spacing * (torch.arange(columns, device=device) - (columns - 1) / 2.0)

    def body(self) -> Body:
        """Layers, organs, vessels, lumps and whatever reflects, from the wide to the small."""
        rng = self._rng
        echo = torch.full(self._shape, float(rng.uniform(0.1, 0.6)), device=self._device)
        fluid, hard = torch.zeros_like(echo), torch.zeros_like(echo)
        depth = self._y - self._smooth((120.0, 1e9, 120.0)) * rng.uniform(0.0, 15.0) - rng.uniform(-60.0, 30.0)
        for _ in range(rng.integers(0, 4)):
            organ = self._smooth([rng.uniform(40.0, 120.0)] * 3) > rng.uniform(0.3, 1.3)
            echo.masked_fill_(organ, rng.uniform(0.05, 0.7))
        if rng.random() < 0.7:
            bottom = torch.zeros_like(echo)
            for _ in range(rng.integers(1, 5)):
                thickness = rng.uniform(3.0, 15.0) * (1.0 + 0.3 * self._smooth((60.0, 1e9, 60.0)))
                echo.masked_fill_((depth >= bottom) & (depth < bottom + thickness), rng.uniform(0.1, 0.9))
                bottom = bottom + thickness
        for _ in range(rng.integers(1, 4)):
            self._vessels(echo, fluid)
        for _ in range(rng.integers(0, 3)):
            lump = self._smooth([rng.uniform(12.0, 30.0)] * 3) > rng.uniform(1.5, 2.2)
            echo.masked_fill_(lump, rng.uniform(0.0, 0.9))
        for _ in range(rng.integers(0, 6)):
            self._reflector(depth, echo, hard)
        echo += rng.uniform(0.0, 0.12) * echo * self._normal(self._shape)
        for each in (echo, fluid, hard):
            each.masked_fill_(depth < 0.0, 0.0)  # air
        attenuation = rng.uniform(0.02, 0.2) * hard - rng.uniform(0.0, 0.015) * fluid
        return Body(echo.clamp(0.0, 1.0), attenuation)

    def _vessels(self, echo: Tensor, fluid: Tensor) -> None:
        """Where two random fields are both near zero: tubes that wind, join and part; as wires, thin and bright."""
        rng = self._rng
        wavelength = rng.uniform(35.0, 90.0)
        distance = (self._smooth([wavelength] * 3) ** 2 + self._smooth([wavelength] * 3) ** 2).sqrt() * wavelength / 3.0
        radius, bright = rng.uniform(1.5, 7.0), rng.random() < 0.15
        if rng.random() < 0.5:
            echo.masked_fill_(distance < radius + rng.uniform(1.0, 3.0), rng.uniform(0.5, 1.0))
        lumen = distance < radius
        echo.masked_fill_(lumen, rng.uniform(0.6, 1.0) if bright else rng.uniform(0.0, 0.1))
        fluid.masked_fill_(lumen, 0.0 if bright else 1.0)

    def _reflector(self, depth: Tensor, echo: Tensor, hard: Tensor) -> None:
        """A rib, a stone or gas, at some depth under the skin."""
        rng = self._rng
        angle, across = rng.uniform(0.0, np.pi), rng.uniform(-80.0, 80.0)
        along = np.cos(angle) * self._z - np.sin(angle) * self._x - rng.uniform(-60.0, 60.0)
        across = np.sin(angle) * self._z + np.cos(angle) * self._x - across
        length = 1e3 if rng.random() < 0.5 else rng.uniform(4.0, 15.0)
        below = depth - rng.uniform(3.0, 50.0 if length > 100.0 else 120.0)
        inside = (across / rng.uniform(3.0, 9.0)) ** 2 + (below / rng.uniform(2.0, 5.0)) ** 2 + (
            along / length
        ) ** 2 < 1
        echo.masked_fill_(inside, rng.uniform(0.6, 1.0))
        hard.masked_fill_(inside, 1.0)

    def volume(self, body: Body) -> SampledVolume:
        """The body as swept along z, with beams along y; nothing is known of air, and beyond a swath."""
        rng = self._rng
        image = self._acquire(body)
        known = body.echo > 0.0
        half, taper = rng.uniform(45.0, 130.0), rng.uniform(0.0, 0.7)
        known &= self._x.abs() < half + taper * (self._y - 100.0)
        known &= (self._z + rng.normal(scale=0.15) * (self._y - 100.0)).abs() < rng.uniform(35.0, 85.0)
        known &= self._y < rng.uniform(110.0, 220.0)
        array = torch.where(known, image.clamp(min=1.0 / 255.0), torch.nan).cpu().numpy()
        return SampledVolume(array, np.linalg.inv(self._body_from_voxel))

    @property
    def _body_from_voxel(self) -> Array:
        slices, _, columns = self._shape
        transform = np.diag([self._spacing] * 3 + [1.0])
        transform[:3, 3] = -self._spacing * (columns - 1) / 2.0, 0.0, -self._spacing * (slices - 1) / 2.0
        return transform

    def pose(self) -> Array:
        """Where a frame's centre and axes are in the body (4, 4): anywhere near the middle, more or less turned."""
        rng = self._rng
        turn = rng.uniform(0.2, 1.0) * rng.uniform(-1.0, 1.0, 3) * VIEW
        centre = rng.uniform(-1.0, 1.0, 3) * (30.0, 15.0, 25.0) + (0.0, 85.0, 0.0)
        return rigid(Rotation.from_euler("xyz", turn, degrees=True).as_matrix(), centre)

    def frame(self, body: Body, voxel_from_centre: Array, grid: Grid) -> Tensor:
        """The body on a plane, with beams down the image: (2, y, x), as `observe_frame` gives it."""
        rng = self._rng
        plane = points_on(self._device, grid, plane=True)
        cut = interpolate(torch.stack(body), torch.from_numpy(voxel_from_centre)[None].to(self._device), plane)[0]
        image = self._acquire(Body(*cut))
        x, y = plane[..., 0], plane[..., 1]
        half_height = rng.uniform(50.0, 95.0)
        half_width, taper = rng.uniform(30.0, 110.0), (rng.uniform(0.2, 0.7) if rng.random() < 0.6 else 0.0)
        known = ((y.abs() < half_height) & (x.abs() < half_width + taper * y)).float()
        return torch.stack([image * known, known])

    def _acquire(self, body: Body) -> Tensor:
        """Brightness of a body whose y axis (the last but one) is the beams' direction, as one acquisition shows it."""
        rng = self._rng
        step = functional.pad(body.echo.diff(dim=-2), (0, 0, 0, 1)).abs()
        loss = self._spacing * body.attenuation.cumsum(dim=-2)
        image = body.echo + rng.uniform(0.0, 0.8) * step - loss * (body.echo > 0)
        return (image * (1.0 + rng.uniform(0.05, 0.25) * self._normal(image.shape))).clamp(0.0, 1.0)

    def _normal(self, shape: Sequence[int]) -> Tensor:
        return torch.randn(*shape, generator=self._generator, device=self._device)

    def _smooth(self, wavelengths: tuple[float, float, float] | list[float]) -> Tensor:
        """A random field (z, y, x) of mean 0 and deviation 1 that varies over the ``wavelengths`` (x, y, z), in mm."""
        weights = []
        for count, wavelength in zip(self._shape, reversed(wavelengths), strict=True):
            place = torch.arange(count, device=self._device) * (3.0 * self._spacing / wavelength)
            knots = torch.arange(-2.0, (count - 1) * 3.0 * self._spacing / wavelength + 3.0, device=self._device)
            weights.append(torch.exp(-0.5 * ((place[:, None] - knots) / 0.7) ** 2))
        noise = self._normal([len(each.T) for each in weights])
        for axis, weight in enumerate(weights):
            noise = torch.movedim(torch.tensordot(weight, noise, dims=([1], [axis])), 0, axis)
        return (noise - noise.mean()) / noise.std()
