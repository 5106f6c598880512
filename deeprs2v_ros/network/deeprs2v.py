"""DeepRS2V, the network of the paper (arXiv 2410.02579, Fig. 3).

A 2D encoder of the frame and a 3D encoder of the volume at its initial pose give features f2D(k) and f3D(i, j), i being
the depth of a slice of the volume. Their outer product per slice, f(i, j, k) = f3D(i, j) f2D(k), is itself a volume, in
which the few features of the frame weigh as much as the many of the volume. A 3D decoder and two fully connected layers
make of it a translation and a 6D rotation.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.network.observation import Estimate, Observation
from deeprs2v_ros.network.rigid import TYPICAL_MOTION, diagonal_covariance, rigid, rotation_from_6d

FRAME_POOLS = ((4, 4), (4, 4), (2, 2), (2, 2))
VOLUME_POOLS = ((2, 4, 4), (2, 4, 4), (2, 2, 2), (2, 2, 2))
FUSED_POOLS = ((1, 4, 4), (1, 4, 4), (1, 3, 3))
"""Pooling of the paper, stage by stage, along ([depth,] rows, columns); the one after the decoder is adaptive."""

CHANNELS = (16, 32, 64, 128)
"""Of the four stages of each encoder and of the decoder."""

FEATURES = 64
"""Channels that an encoder ends in."""

DECODED = 2
"""Points along each axis that the decoder leaves, whatever came in."""

CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}
NORMALISATION = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MAX_POOL = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


class DeepRS2V(nn.Module):
    """The paper's network, for a `Grid` of ``grid_size`` (x, y, z) points: `Observation` to `Estimate`.

    At 200x160x120 points (1 mm) it is the published one: the frame has 64x2x3 = 384 features, the volume 7x384, their
    product is 1x7x384x384, and there are 2,744,617 parameters: 2D encoder 411,744, 3D encoder 1,144,704, decoder
    923,456, fully connected 264,713. (The convolutions before the residual blocks are 3x3: no other size gives these
    counts.) On smaller grids the pools are lowered, axis by axis, until two points are left, so no axis vanishes;
    and the decoder ends in an adaptive average, so the number of parameters is the same for every grid.

    Only intensities go in; they are 0 outside the masks. Untrained, it predicts the identity. A head of its own, beside
    to the last layer and not counted above, predicts the standard deviations.
    """

    def __init__(self, grid_size: tuple[int, int, int], hidden: int = 256) -> None:
        super().__init__()
        self.grid_size = tuple(grid_size)
        columns, rows, depth = self.grid_size
        frame_pools = fitting_pools((rows, columns), FRAME_POOLS)
        volume_pools = fitting_pools((depth, rows, columns), VOLUME_POOLS)
        self.frame_encoder = nn.Sequential(*stages(frame_pools), nn.Conv2d(CHANNELS[-1], FEATURES, 3, padding=1))
        self.volume_encoder = nn.Sequential(*stages(volume_pools), nn.Conv3d(CHANNELS[-1], FEATURES, 3, padding=1))
        slices, *plane = map(after, (depth, rows, columns), zip(*volume_pools, strict=True))
        features = FEATURES * math.prod(plane)
        fused_pools = fitting_pools((slices, features, features), FUSED_POOLS)
        self.decoder = nn.Sequential(*stages((*fused_pools, None)), nn.AdaptiveAvgPool3d(DECODED), nn.Flatten())
        self.fully_connected = nn.Sequential(
            nn.Linear(CHANNELS[-1] * DECODED**3, hidden), nn.LeakyReLU(), nn.Linear(hidden, 9)
        )
        self.spread = nn.Linear(hidden, 6)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="leaky_relu")
        for last in (self.fully_connected[-1], self.spread):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, observation: Observation) -> Estimate:
        """Raises `InputError` if the box is not of the size that the network is for."""
        if observation.box.shape[:1:-1] != self.grid_size:
            raise InputError(f"box: {tuple(observation.box.shape[:1:-1])} points, the network is for {self.grid_size}")
        hidden = self.fully_connected[:-1](self.decoder(self.fuse(observation)))
        output = self.fully_connected[-1](hidden)
        identity = output.new_tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
        translation, rotation = output[:, :3] * TYPICAL_MOTION[0], identity + output[:, 3:] * TYPICAL_MOTION[3]
        return Estimate(rigid(rotation_from_6d(rotation), translation), diagonal_covariance(self.spread(hidden)))

    def fuse(self, observation: Observation) -> Tensor:
        """The outer product of the features, slice by slice: (batch, 1, depth, of the volume, of the frame)."""
        frame = self.frame_encoder(observation.frame[:, :1]).flatten(1)
        volume = self.volume_encoder(observation.box[:, :1]).transpose(1, 2).flatten(2)
        return torch.einsum("bij,bk->bijk", volume, frame).unsqueeze(1)


class ResidualBlock(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, each with batch norm, around which the input is added. Channels stay."""

    def __init__(self, channels: int, dimensions: int) -> None:
        super().__init__()
        layers = []
        for kernel in (1, 3, 1):
            layers += [
                CONVOLUTION[dimensions](channels, channels, kernel, padding=kernel // 2, bias=False),
                NORMALISATION[dimensions](channels),
                nn.LeakyReLU(),
            ]
        self.change = nn.Sequential(*layers[:-1])
        self.activation = nn.LeakyReLU()

    def forward(self, features: Tensor) -> Tensor:
        """Features in, features of the same shape out."""
        return self.activation(features + self.change(features))


def stages(pools: Sequence[tuple[int, ...] | None]) -> list[nn.Module]:
    """Convolution, residual block and max-pooling (None: none), from one channel to each of `CHANNELS` in turn."""
    dimensions = len(pools[0])
    layers: list[nn.Module] = []
    for inputs, outputs, pool in zip((1, *CHANNELS[:-1]), CHANNELS, pools, strict=True):
        layers += [CONVOLUTION[dimensions](inputs, outputs, 3, padding=1), ResidualBlock(outputs, dimensions)]
        layers += [MAX_POOL[dimensions](pool)] if pool else []
    return layers


def fitting_pools(size: tuple[int, ...], pools: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """``pools``, stage by stage, lowered along each axis to fit an input of ``size``."""
    axes = zip(*pools, strict=True)
    return list(zip(*(fitting_factors(points, axis) for points, axis in zip(size, axes, strict=True)), strict=True))


def fitting_factors(points: int, factors: tuple[int, ...]) -> tuple[int, ...]:
    """The pools of one axis: of all up to ``factors`` those that leave the fewest ``points``, but at least two.

    (Of a single point, one.) Of several such choices the one that pools earliest: later stages have less to do then.
    """

    def rank(choice: tuple[int, ...]) -> tuple[bool, int]:
        left = after(points, choice)
        return left < min(points, 2), left

    return min(itertools.product(*(range(factor, 0, -1) for factor in factors)), key=rank)


def after(points: int, factors: tuple[int, ...]) -> int:
    """How many of ``points`` pooling by all ``factors`` leaves; rounding down stage by stage comes to the same."""
    return points // math.prod(factors)
