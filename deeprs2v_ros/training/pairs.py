"""Pairs of frame and volume for training: the frame's true pose is displaced, and the way back is the correction."""

from __future__ import annotations

from collections import deque
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


INVENTED_FRAMES, INVENTED_CLIPS = 8, 8
"""Pairs for which an invented anatomy is good, and anatomies from which to draw: a batch shows several."""


class Pairs:
    """An endless stream of batches, different each time and the same for the same ``seed`` on the same ``device``.

    Displacements have a scale drawn up to ``reach`` times the paper's, so that a network also learns to leave alone
    what is nearly right. The share ``invented`` of the pairs is not from ``clips``, which have to be on the device, but
    from invented anatomies.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        grid: Grid,
        batch: int,
        seed: int,
        reach: float = 2.2,
        invented: float = 0.0,
        device: torch.device | str = "cpu",
    ) -> None:
        self._clips = clips
        self._grid = grid
        self._batch = batch
        self._reach = reach
        self._invented = invented
        self._device = device
        self._rng = np.random.default_rng(seed)
        self._augmentation = Augmentation(seed, device)
        self._inventions: deque[Clip] = deque(maxlen=INVENTED_CLIPS)
        self._drawn = 0

    def __iter__(self) -> Iterator[tuple[Observation, Tensor]]:
        while True:
            frames, boxes, corrections = zip(*(self._pair() for _ in range(self._batch)), strict=True)
            truth = torch.from_numpy(np.stack(corrections).astype(np.float32)).to(self._device)
            yield self._augmentation(Observation(torch.stack(frames), torch.stack(boxes)), truth)

    def _pair(self) -> tuple[Tensor, Tensor, Array]:
        own = self._rng.random() >= self._invented
        clip = self._clips[self._rng.integers(len(self._clips))] if own else self._invention()
        index = self._rng.integers(len(clip))
        displacement = draw_displacement(self._rng, self._rng.uniform(0.0, self._reach))
        return displaced_pair(clip, index, displacement, self._grid)

    def _invention(self) -> Clip:
        """One of the latest invented clips; every so many pairs a new one takes the place of the oldest."""
        if self._drawn % INVENTED_FRAMES == 0:
            self._inventions.append(invent_clip(self._rng, self._grid, INVENTED_FRAMES, self._device))
        self._drawn += 1
        return self._inventions[self._rng.integers(len(self._inventions))]


def displaced_pair(clip: Clip, index: int | NDArray, displacement: Array, grid: Grid) -> tuple[Tensor, Tensor, Array]:
    """Frame (2, y, x), box (2, z, y, x) at the displaced pose, and the correction d that leads back."""
    start = torch.from_numpy(clip.volume_from_centre[index] @ displacement)[None].to(clip.frames.device)
    return clip.frames[index], clip.volume.box(start, grid)[0], inverse(displacement)
