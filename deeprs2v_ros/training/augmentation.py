"""What may differ between a frame and the volume without the pose being different.

Drawn anew for every pair: mirror images of the anatomy; gain, noise and speckle of frame and volume, each on its own;
shadows, which fall along the beams and differ between two acquisitions; and how much of frame and volume there is at
all. Compression and sharpness (MONAI), of frames and of volumes, are drawn anew for every batch.
"""

from __future__ import annotations

import math

import torch
from monai.transforms import Compose, RandAdjustContrast, RandGaussianSmooth, RandScaleIntensity
from monai.utils import convert_to_tensor
from torch import Tensor
from torch.nn import functional

from deeprs2v_ros.network.observation import Observation

FINEST_CURTAIN = 24
"""Places across the image that a shadow can be at."""


class Augmentation:
    """Augments batches; everything is drawn from ``seed``, on the ``device`` that they are on."""

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self._generator = torch.Generator(device).manual_seed(seed)
        self._appearance = Compose(
            [
                RandAdjustContrast(prob=0.8, gamma=(0.5, 2.0)),
                RandScaleIntensity(prob=0.8, factors=(-0.4, 0.3), channel_wise=True),
                RandGaussianSmooth(prob=0.3, sigma_x=(0.3, 0.9), sigma_y=(0.3, 0.9), sigma_z=(0.3, 0.9)),
            ]
        )
        self._appearance.set_random_state(seed)

    def __call__(self, observation: Observation, correction: Tensor) -> tuple[Observation, Tensor]:
        """Pairs (batch) and their true corrections (batch, 4, 4), augmented."""
        observation, correction = self.mirrored(observation, correction)
        frame, box = (self._seen_by_another(each) for each in (observation.frame[:, :, None], observation.box))
        return Observation(frame[:, :, 0], box), correction

    def mirrored(self, observation: Observation, correction: Tensor) -> tuple[Observation, Tensor]:
        """Across the image's x axis, or through its plane, both of which turn an anatomy into another possible one."""
        frame, box = observation
        across, through = (self._chance(frame, 0.5) for _ in range(2))
        frame = torch.where(across[:, 0], frame.flip(-1), frame)
        box = torch.where(across, box.flip(-1), box)
        box = torch.where(through, box.flip(-3), box)
        sign = torch.ones_like(correction[:, 0])
        sign[:, 0], sign[:, 2] = (1.0 - 2.0 * each.flatten().to(sign.dtype) for each in (across, through))
        return Observation(frame, box), sign[:, :, None] * correction * sign[:, None]

    def _seen_by_another(self, observed: Tensor) -> Tensor:
        """``observed`` (batch, 2, z, y, x) as another probe and machine show it: less or more of it, and otherwise."""
        value, known = observed[:, :1], observed[:, 1:] * self._kept(observed)
        # Pairs of a batch are the channels of one image for MONAI, which scales each by itself but draws the rest once.
        styled = convert_to_tensor(self._appearance(value[:, 0].squeeze(1)), track_meta=False).reshape(value.shape)
        noise = self._uniform(value, 0.0, 0.05) * self._chance(value, 0.5)
        speckle = self._uniform(value, 0.0, 0.25)
        value = styled * self._shadows(observed)
        value = value * (1.0 + speckle * self._normal(value.shape)) + noise * self._normal(value.shape)
        return torch.cat([value.clamp(0.0, 1.0) * known, known], dim=1)

    def _kept(self, observed: Tensor) -> Tensor:
        """1 on this side of a random line, plumb or nearly so, and above some depth; 0 beyond."""
        x, y, _ = _axes(observed)
        lean, place = self._uniform(observed, -0.3, 0.3), self._uniform(observed, 0.1, 0.35)
        side = 1.0 - 2.0 * self._chance(observed, 0.5).to(x.dtype)
        beyond = self._chance(observed, 0.3) & (side * x + lean * y >= place)
        below = self._chance(observed, 0.2) & (y >= self._uniform(observed, 0.05, 0.4))
        return (~(beyond | below)).to(observed.dtype)

    def _shadows(self, observed: Tensor) -> Tensor:
        """Factors that darken along the beams, which run down the image and lean by up to 20 degrees.

        The curtain is a random function of where a beam starts, with edges from soft to sharp; in a box of slices, of
        both directions across it. Each shadow begins at some depth. A slope of the depth compensation comes on top.
        """
        batch, _, slices, rows, columns = observed.shape
        x, y, z = _axes(observed)
        lean = (self._uniform(observed, -20.0, 20.0) * (math.pi / 180.0)).tan() * rows / columns
        # The wider apart the edges, the less of the curtain is on the image.
        across = self._uniform(observed, 4.0, FINEST_CURTAIN) / FINEST_CURTAIN * (2.0 * x + 2.0 * lean * y) / 1.6
        where = torch.stack(torch.broadcast_tensors(across, 2.0 * z), dim=-1)
        curtain = self._normal((batch, 1, max(slices // 6, 2), FINEST_CURTAIN))
        drawn = functional.grid_sample(
            curtain, where.reshape(batch, -1, 1, 2), mode="bicubic", padding_mode="border", align_corners=True
        ).reshape(batch, 1, slices, rows, columns)
        edge, rare = 10.0 ** self._uniform(observed, 0.6, 1.7), self._uniform(observed, 0.5, 1.3)
        darkest = self._uniform(observed, 0.3, 1.0) * self._chance(observed, 0.85)
        below = torch.sigmoid(25.0 * (y - self._uniform(observed, -0.5, 0.2)))
        slope = 0.25 * self._normal((batch, 1, 1, 1, 1))
        return (slope * y).exp() * (1.0 - darkest * torch.sigmoid(edge * (drawn - rare)) * below)

    def _uniform(self, pairs: Tensor, low: float, high: float) -> Tensor:
        """A number for each of the ``pairs``: (batch, 1, 1, 1, 1)."""
        drawn = torch.rand(len(pairs), 1, 1, 1, 1, generator=self._generator, device=self._generator.device)
        return low + (high - low) * drawn

    def _chance(self, pairs: Tensor, probability: float) -> Tensor:
        """For each of the ``pairs``, whether it happens."""
        return self._uniform(pairs, 0.0, 1.0) < probability

    def _normal(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self._generator, device=self._generator.device)


def _axes(observed: Tensor) -> list[Tensor]:
    """Places x, y, z along the axes of ``observed`` (batch, 2, z, y, x), from -1/2 to 1/2, ready to broadcast."""
    return [
        torch.linspace(-0.5, 0.5, count, device=observed.device).reshape([-1 if axis == i else 1 for i in range(3)])
        for axis, count in zip((2, 1, 0), reversed(observed.shape[2:]), strict=True)
    ]
