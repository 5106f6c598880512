"""FVR-Net, the network that DeepRS2V is compared with (Guo et al., MICCAI 2021, "End-to-end Ultrasound Frame to Volume
Registration").

It is written after the structure that its authors published. Frame and sub-volume each pass a stem of two large
convolutions and are then laid one behind the other along depth, so that the four stages of a 3D ResNeXt that follow
see both. Global averaging and two fully connected layers make six numbers of it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.network.observation import Estimate, Observation
from deeprs2v_ros.network.rigid import diagonal_covariance, from_motion, scaled_motion

STAGES = ((128, 3), (256, 8), (512, 36), (1024, 3))
"""Channels inside a bottleneck and number of bottlenecks, stage by stage: ResNeXt [3, 8, 36, 3]."""

CARDINALITY = 32
"""Groups of the middle convolution of a bottleneck."""

EXPANSION = 2
"""Channels that leave a bottleneck per channel inside it."""


class FVRNet(nn.Module):
    """FVR-Net for a `Grid` of ``grid_size`` (x, y, z) points: `Observation` to `Estimate`.

    128x128x32 points and ``width`` 1 are as published: 67.8 million parameters. ``width`` scales all channels: at 0.25
    there are 4.3 million. As published it sees the volume at its initial pose and the frame, intensities only, which
    are 0 outside the masks, and trains with the squared error of the motion.

    Ours are: any grid, for the averaging is global; batch norm of its own for each stem; a start from the identity,
    outputs in units of a typical motion; and six more outputs, for the standard deviations.
    """

    def __init__(self, grid_size: tuple[int, int, int], width: float = 1.0) -> None:
        super().__init__()
        self.grid_size = tuple(grid_size)
        narrow, wide = max(8, round(32 * width)), max(8, round(64 * width))
        # One channel per slice: a flat image becomes a volume as deep as the other, and passes an equal stem.
        self.deepen = nn.Conv2d(1, self.grid_size[2], 5, padding=2)
        self.frame_stem, self.volume_stem = stem(narrow, wide), stem(narrow, wide)
        bottlenecks, channels = [], wide
        for planes, count in STAGES:
            inner = CARDINALITY * max(1, round(planes * width / CARDINALITY))
            for index in range(count):
                bottlenecks.append(Bottleneck(channels, inner, stride=2 if index == 0 else 1))
                channels = EXPANSION * inner
        self.backbone = nn.Sequential(*bottlenecks, nn.AdaptiveAvgPool3d(1), nn.Flatten())
        self.fully_connected = nn.Sequential(nn.Linear(channels, max(32, round(512 * width))), nn.ReLU())
        self.last = nn.Linear(self.fully_connected[0].out_features, 12)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, observation: Observation) -> Estimate:
        """Raises `InputError` if the box is not of the size that the network is for."""
        if observation.box.shape[:1:-1] != self.grid_size:
            raise InputError(f"box: {tuple(observation.box.shape[:1:-1])} points, the network is for {self.grid_size}")
        frame = self.frame_stem(self.deepen(observation.frame[:, :1]).unsqueeze(1))
        volume = self.volume_stem(observation.box[:, :1])
        features = self.fully_connected(self.backbone(torch.cat([volume, frame], dim=2)))
        motion, spread = self.last(features).split(6, dim=1)
        return Estimate(from_motion(scaled_motion(motion)), diagonal_covariance(spread))


def stem(narrow: int, wide: int) -> nn.Sequential:
    """Two large convolutions of a single-channel volume, which halve its rows and columns and quarter its depth."""
    return nn.Sequential(
        nn.Conv3d(1, narrow, 9, stride=2, padding=4, bias=False),
        nn.BatchNorm3d(narrow),
        nn.ReLU(),
        nn.Conv3d(narrow, wide, 7, stride=(2, 1, 1), padding=3, bias=False),
        nn.ReLU(),
    )


class Bottleneck(nn.Module):
    """The block of ResNeXt (Xie et al., CVPR 2017) in 3D: 1x1, grouped 3x3 and 1x1 convolutions around a shortcut."""

    def __init__(self, channels: int, inner: int, stride: int) -> None:
        super().__init__()
        outputs = EXPANSION * inner
        self.change = nn.Sequential(
            nn.Conv3d(channels, inner, 1, bias=False),
            nn.BatchNorm3d(inner),
            nn.ReLU(),
            nn.Conv3d(inner, inner, 3, stride=stride, padding=1, groups=CARDINALITY, bias=False),
            nn.BatchNorm3d(inner),
            nn.ReLU(),
            nn.Conv3d(inner, outputs, 1, bias=False),
            nn.BatchNorm3d(outputs),
        )
        self.shortcut = nn.Identity()
        if stride != 1 or channels != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv3d(channels, outputs, 1, stride=stride, bias=False), nn.BatchNorm3d(outputs)
            )

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, z, y, x) in; the axes that come out are shorter by the stride."""
        return torch.relu(self.shortcut(features) + self.change(features))
