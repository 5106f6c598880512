"""Pairs of frame and volume for training: the frame's true pose is displaced, and the way back is the correction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor

from deeprs2v_ros.geometry import Array, inverse, rigid
from deeprs2v_ros.network.observation import Grid, Observation
from deeprs2v_ros.training.augmentation import Augmentation
from deeprs2v_ros.training.clips import Clip
from deeprs2v_ros.training.invention import invent_clip

TRANSLATION = np.array([10.0, 10.0, 5.0])
"""mm: the paper's displacements, uniform between minus and plus this, along x, y, z of the image."""

ROTATION = np.array([5.0, 5.0, 10.0])
"""Degrees: the same for Euler angles about x, y, z."""


def draw_displacement(rng: np.random.Generator, scale: float) -> Array:
    """A displacement (4, 4) of the image about its centre; ``scale`` 1 is the paper's range.

    The same order of draws as everywhere: rotation, then translation.
    """
    rotation = Rotation.from_euler("xyz", rng.uniform(-1.0, 1.0, 3) * ROTATION * scale, degrees=True)
    return rigid(rotation.as_matrix(), rng.uniform(-1.0, 1.0, 3) * TRANSLATION * scale)


INVENTED_FRAMES = 6
"""Frames of an invented clip, each of which makes one pair."""


class Pairs:
    """An endless stream of batches, different each time and the same for the same ``seed``.

    Displacements have a scale drawn up to ``reach`` times the paper's, so that a network also learns to leave alone
    what is nearly right. The share ``invented`` of the pairs is not from ``clips``, but from invented anatomies.
    """

    def __init__(
        self, clips: Sequence[Clip], grid: Grid, batch: int, seed: int, reach: float = 2.2, invented: float = 0.0
    ) -> None:
        self._clips = clips
        self._grid = grid
        self._batch = batch
        self._reach = reach
        self._invented = invented
        self._rng = np.random.default_rng(seed)
        self._augmentation = Augmentation(seed)
        self._inventions = self._invent()

    def __iter__(self) -> Iterator[tuple[Observation, Tensor]]:
        while True:
            pairs = [self._pair() for _ in range(self._batch)]
            frames = torch.stack([observation.frame for observation, _ in pairs])
            boxes = torch.stack([observation.box for observation, _ in pairs])
            corrections = np.stack([correction for _, correction in pairs]).astype(np.float32)
            yield Observation(frames, boxes), torch.from_numpy(corrections)

    def _pair(self) -> tuple[Observation, Array]:
        if self._rng.random() < self._invented:
            clip, index = next(self._inventions)
        else:
            clip = self._clips[self._rng.integers(len(self._clips))]
            index = self._rng.integers(len(clip))
        displacement = draw_displacement(self._rng, self._rng.uniform(0.0, self._reach))
        frame, box, correction = displaced_pair(clip, index, displacement, self._grid)
        return self._augmentation(frame, box, correction)

    def _invent(self) -> Iterator[tuple[Clip, int]]:
        while True:
            clip = invent_clip(self._rng, self._grid, INVENTED_FRAMES)
            for index in range(INVENTED_FRAMES):
                yield clip, index


def displaced_pair(clip: Clip, index: int | NDArray, displacement: Array, grid: Grid) -> tuple[Tensor, Tensor, Array]:
    """Frame (2, y, x), box (2, z, y, x) at the displaced pose, and the correction d that leads back."""
    start = clip.volume_from_centre[index] @ displacement
    box = clip.volume.box(torch.from_numpy(start)[None], grid)[0]
    return clip.frames[index], box, inverse(displacement)
