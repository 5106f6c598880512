"""Asking a network where a frame is: from an image and a prior pose to a proposed pose and how sure it is."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deeprs2v_ros.errors import WeightsError
from deeprs2v_ros.geometry import Array, image_centre, rigid
from deeprs2v_ros.imaging.volume import Volume
from deeprs2v_ros.network.checkpoint import Checkpoint
from deeprs2v_ros.network.observation import Grid, Observation, VolumeSpatialTransformer, observe_frame
from deeprs2v_ros.registration.belief import Belief
from deeprs2v_ros.registration.pyramid import sample_volume

PASSES = 2
"""The second look starts where the first one ended, so that the box is centred on the plane."""

LEAST_INSIDE, LEAST_FILLED = 0.7, 0.05
"""Share of a frame's valid area that the grid has to hold, and share of the grid that the frame has to fill."""


class UnfitError(WeightsError):
    """The frames are much larger or smaller than those that the weights are for."""


class Predictor:
    """A trained network in front of one ``volume``, for frames with ``mask`` (rows, columns) and one pixel size.

    Raises UnfitError for frames that are much larger or smaller than the weights are for.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        volume: Volume,
        mask: NDArray[np.bool_],
        image_from_pixel: Array,
        device: torch.device | str = "cpu",
    ) -> None:
        # Threads that spin for one another's work beside other busy programs take ten times as long as one alone.
        torch.set_num_threads(1)
        self._network = checkpoint.network.to(device).eval()
        self._grid = checkpoint.description.grid
        self._calibration = np.array(checkpoint.description.calibration)
        self._device = torch.device(device)
        self._mask = mask
        self._pixel_size = (image_from_pixel[0, 0], image_from_pixel[1, 1])
        self._from_centre = rigid(translation=image_centre(mask.shape, image_from_pixel))
        self._to_centre = rigid(translation=-self._from_centre[:3, 3])
        self._volume = VolumeSpatialTransformer(sample_volume(volume, self._grid.spacing)).to(device)
        self._check_size(checkpoint.name)

    def __call__(self, image: NDArray[np.uint8], prior: Array) -> Belief:
        """Propose a pose for an ``image`` (rows, columns) that is expected at ``prior``, volume_from_image (4, 4)."""
        frame = observe_frame(image, self._mask, self._pixel_size, self._grid)[None].to(self._device)
        found = look(self._network, self._volume, frame, prior @ self._from_centre, self._grid)
        scale = found.scale * np.outer(self._calibration, self._calibration)
        return Belief(found.pose @ self._to_centre, scale)

    def _check_size(self, name: str) -> None:
        """Refuse frames of a size that the weights are not for."""
        rows, columns = np.nonzero(self._mask)
        centre = (np.array(self._mask.shape[::-1]) - 1) / 2
        places = np.abs((np.stack([columns, rows], axis=1) - centre) * self._pixel_size)
        extent = self._grid.extent[:2]
        inside = (places <= extent / 2).all(axis=1)
        filled = np.count_nonzero(inside) * np.prod(self._pixel_size) / np.prod(extent)
        if inside.mean() < LEAST_INSIDE or filled < LEAST_FILLED:
            size = " x ".join(f"{n * p:.0f}" for n, p in zip(self._mask.shape[::-1], self._pixel_size, strict=True))
            held = " x ".join(f"{length:.0f}" for length in extent)
            raise UnfitError(f"weights {name}: are for images of about {held} mm, these are of {size} mm")


@torch.inference_mode()
def look(
    network: nn.Module,
    volume: VolumeSpatialTransformer,
    frame: Tensor,
    volume_from_centre: Array,
    grid: Grid,
    passes: int = PASSES,
) -> Belief:
    """Where a ``network`` puts a ``frame`` (1, 2, y, x) that is expected at ``volume_from_centre`` (4, 4).

    The pose found is the image centre's as well, and its scale is what the network says, not calibrated. Raises
    WeightsError where that is NaN or infinite.
    """
    pose, covariance = volume_from_centre, np.eye(6)
    for _ in range(passes):
        estimate = network(Observation(frame, volume.box(torch.from_numpy(pose)[None].to(frame.device), grid)))
        correction, covariance = (each[0].double().cpu().numpy() for each in estimate)
        if not (np.isfinite(correction).all() and np.isfinite(covariance).all()):
            raise WeightsError("weights: the network answers NaN or infinity, so they are damaged")
        # In single precision the rotation is one to seven digits: not enough to be composed with poses for ever.
        u, _, vt = np.linalg.svd(correction[:3, :3])
        pose = pose @ rigid(u @ vt, correction[:3, 3])
    return Belief(pose, 0.5 * (covariance + covariance.T))
