"""Tissue on a grid: how strongly every cubic millimetre scatters and attenuates ultrasound."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.geometry import Array


@dataclass(frozen=True)
class Tissue:
    """Scattering and attenuating matter, at rest, on a grid of cubic voxels.

    ``echogenicity`` float32 (z, y, x): amplitude of the one scatterer that each voxel holds, 1 for liver parenchyma.
    ``attenuation`` float32, same shape: loss of the echo in dB per mm of depth (there and back).
    ``origin`` (3,) is the centre of voxel (0, 0, 0), xyz mm; ``spacing`` the voxels' edge in mm. Beyond the grid the
    tissue of its nearest voxel goes on, so a grid of a single voxel is homogeneous tissue.
    """

    echogenicity: NDArray[np.float32]
    attenuation: NDArray[np.float32]
    origin: Array
    spacing: float


def homogeneous(echogenicity: float = 1.0, attenuation: float = 0.0, spacing: float = 1.0) -> Tissue:
    """Tissue that is the same everywhere."""
    return Tissue(
        np.full((1, 1, 1), echogenicity, dtype=np.float32),
        np.full((1, 1, 1), attenuation, dtype=np.float32),
        np.zeros(3),
        spacing,
    )
