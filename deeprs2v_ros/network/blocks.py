"""Building blocks of the correspondence network: a feature vector for every patch of an image."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

GROUPS = 4
CONTRAST_WINDOW = 9
"""Points along the edge of the surroundings that a point is compared with."""

LEAST_CONTRAST = 0.02
"""Standard deviation of intensity below which surroundings count as flat."""


class Layer(nn.Sequential):
    """Convolution of ``size`` points, group normalisation (any batch size gives the same), leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, size: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
            nn.GroupNorm(GROUPS, outputs),
            nn.LeakyReLU(0.1),
        )


class Residual(nn.Module):
    """x + what two layers make of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(Layer(channels, channels), nn.Conv2d(channels, channels, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Same shape as ``features``."""
        return features + self.layers(features)


class Encoder(nn.Module):
    """Features at half the resolution of an image, from about 60 points around each.

    Input (batch, 2, y, x): intensity and known mask. Output (batch, channels, y / 2, x / 2).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fine = nn.Sequential(Layer(3, channels, size=5, stride=2), Residual(channels))
        self.middle = nn.Sequential(Layer(channels, 2 * channels, stride=2), Residual(2 * channels))
        self.coarse = nn.Sequential(Layer(2 * channels, 2 * channels, stride=2), Residual(2 * channels))
        self.joined = nn.Sequential(
            Layer(5 * channels, 2 * channels, size=1), Residual(2 * channels), nn.Conv2d(2 * channels, channels, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        """See the class."""
        fine = self.fine(torch.cat([local_contrast(image), image], dim=1))
        middle = self.middle(fine)
        wider = [
            functional.interpolate(each, size=fine.shape[2:], mode="bilinear", align_corners=False)
            for each in (middle, self.coarse(middle))
        ]
        return self.joined(torch.cat([fine, *wider], dim=1))


def local_contrast(image: Tensor) -> Tensor:
    """Intensity against its surroundings, (value - mean) / deviation over known points; (batch, 1, y, x).

    Gain, depth compensation and a good part of shadows are gone from it.
    """
    value, known = image[:, :1], image[:, 1:]

    def mean(of: Tensor) -> Tensor:
        return functional.avg_pool2d(of, CONTRAST_WINDOW, stride=1, padding=CONTRAST_WINDOW // 2)

    share = mean(known).clamp(min=1e-3)
    average = mean(value) / share
    deviation = (mean(value**2) / share - average**2).clamp(min=0.0).add(LEAST_CONTRAST**2).sqrt()
    return ((value - average) / deviation * known).clamp(-3.0, 3.0)
