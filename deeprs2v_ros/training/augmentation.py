"""What may differ between a frame and the volume without the pose being different.

Drawn anew for every pair: mirror images of the anatomy; gain, compression, noise and sharpness of frame and volume,
each on its own (MONAI); shadows, which fall along the beams and differ between two acquisitions; and how much of frame
and volume there is at all.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from monai.transforms import Compose, RandAdjustContrast, RandGaussianNoise, RandGaussianSmooth, RandScaleIntensity
from torch import Tensor
from torch.nn import functional

from deeprs2v_ros.geometry import Array
from deeprs2v_ros.network.observation import Observation


class Augmentation:
    """Augments pairs; everything is drawn from ``seed``."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._appearance = Compose(
            [
                RandAdjustContrast(prob=0.8, gamma=(0.5, 2.0)),
                RandScaleIntensity(prob=0.8, factors=(-0.4, 0.3)),
                RandGaussianSmooth(prob=0.3, sigma_x=(0.3, 0.9), sigma_y=(0.3, 0.9), sigma_z=(0.3, 0.9)),
                RandGaussianNoise(prob=0.5, std=0.05),
            ]
        )
        self._appearance.set_random_state(seed)

    def __call__(self, frame: Tensor, box: Tensor, correction: Array) -> tuple[Observation, Array]:
        """An augmented pair without batch axis, and its true correction (4, 4)."""
        frame, box, correction = self._mirrored(frame, box, correction)
        frame, box = self._cropped(frame), self._cropped(box)
        return Observation(self._restyled(frame), self._restyled(box)), correction

    def _mirrored(self, frame: Tensor, box: Tensor, correction: Array) -> tuple[Tensor, Tensor, Array]:
        """Across the image's x axis, or through its plane, both of which turn an anatomy into another possible one."""
        across, through = self._rng.random(2) < 0.5
        sign = np.array([-1.0 if across else 1.0, 1.0, -1.0 if through else 1.0, 1.0])
        if across:
            frame, box = frame.flip(-1), box.flip(-1)
        if through:
            box = box.flip(-3)
        return frame, box, sign[:, None] * correction * sign

    def _cropped(self, observed: Tensor) -> Tensor:
        """Leave away what lies beyond a random line, plumb or nearly so, or below some depth."""
        rng = self._rng
        *_, rows, columns = observed.shape
        x = torch.arange(columns) / columns - 0.5
        y = torch.arange(rows)[:, None] / rows - 0.5
        kept = torch.ones(rows, columns)
        if rng.random() < 0.3:
            side, place, lean = rng.choice([-1.0, 1.0]), rng.uniform(0.1, 0.35), rng.uniform(-0.3, 0.3)
            kept *= (side * x + lean * y < place).float()
        if rng.random() < 0.2:
            kept *= (y < rng.uniform(0.05, 0.4)).float()
        return observed * kept

    def _restyled(self, observed: Tensor) -> Tensor:
        """Other gain, compression, depth compensation, speckle, noise and shadows, where something is known."""
        value, known = observed[:1], observed[1:]
        value = torch.as_tensor(self._appearance(value)) * self._shadows(value.shape[1:])
        speckle = torch.from_numpy(self._rng.normal(size=value.shape).astype(np.float32))
        value = value * (1.0 + self._rng.uniform(0.0, 0.25) * speckle)
        return torch.cat([value.clamp(0.0, 1.0) * known, known])

    def _shadows(self, shape: torch.Size) -> Tensor:
        """Factors that darken along the beams, which run down the image and lean by up to 20 degrees.

        The curtain is a random function of where a beam starts, with edges from soft to sharp; in a box of slices, of
        both directions across it. Each shadow begins at some depth. A slope of the depth compensation comes on top.
        """
        rng = self._rng
        *depth, rows, columns = shape
        slope = rng.normal(scale=0.25)
        y = torch.linspace(-0.5, 0.5, rows)[:, None]
        factor = (slope * y).exp().expand(rows, columns)
        if rng.random() < 0.15:
            return factor.expand(shape).clone()
        lean = math.tan(math.radians(rng.uniform(-20.0, 20.0))) * rows / columns
        start = torch.linspace(-1.0, 1.0, columns) + 2.0 * lean * y  # (rows, columns), -1 to 1 at no lean
        slices = depth[0] if depth else 1
        curtain = torch.from_numpy(rng.normal(size=(1, 1, max(slices // 6, 2), rng.integers(4, 24))).astype(np.float32))
        z = torch.linspace(-1.0, 1.0, slices)[:, None, None].expand(slices, rows, columns)
        where = torch.stack([start.expand(slices, rows, columns) / 1.6, z], dim=-1).reshape(1, -1, 1, 2)
        drawn = functional.grid_sample(curtain, where, mode="bicubic", padding_mode="border", align_corners=True)
        edge, rare = 10.0 ** rng.uniform(0.6, 1.7), rng.uniform(0.5, 1.3)
        strength = rng.uniform(0.3, 1.0) * torch.sigmoid(edge * (drawn.reshape(slices, rows, columns) - rare))
        below = torch.sigmoid(25.0 * (y - rng.uniform(-0.5, 0.2)))
        return (factor * (1.0 - strength * below)).reshape(shape)
