"""How good a network is on clips it was not trained on: by itself, and in closed loop with its own last result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch import nn

from deeprs2v_ros.geometry import Array, about, from_motion, inverse
from deeprs2v_ros.network.observation import Grid
from deeprs2v_ros.network.prediction import look
from deeprs2v_ros.registration.search import distance
from deeprs2v_ros.training.clips import Clip
from deeprs2v_ros.training.pairs import draw_displacement

SCALES = (1.0, 2.0)
FRAMES = 6
"""Of each clip."""
BREATH = 12.0
"""mm that the organ moves in closed loop."""


class Validation(NamedTuple):
    """Mean distances from the truth (mm, angles at the lever of the search) of results and, in ``start``, of starts.

    ``single`` is from displacements of the paper's and twice the paper's size, ``closed_loop`` from the motion that the
    network itself found in the frame before, while the organ breathes.
    """

    start: float
    single: float
    closed_loop: float


def validate(network: nn.Module, clips: Sequence[Clip], grid: Grid, seed: int) -> Validation:
    """Validate on ``clips``; the displacements depend on ``seed`` alone."""
    was_training, rng = network.training, np.random.default_rng(seed)
    network.eval()
    starts, single, closed = [], [], []
    for clip in clips:
        frames = np.linspace(0, len(clip) - 1, min(FRAMES, len(clip))).astype(int)
        axis = from_motion(rng.normal(size=6) * (1.0, 1.0, 1.0, 0.0, 0.0, 0.0))[:3, 3]
        axis *= BREATH / np.linalg.norm(axis)
        turn, found = np.radians(3.0) * rng.normal(size=3) / np.sqrt(3.0), np.eye(4)
        for number, frame in enumerate(frames):
            truth = clip.volume_from_centre[frame]
            for scale in SCALES:
                start = truth @ draw_displacement(rng, scale)
                starts.append(_distance(start, truth))
                single.append(_distance(_look(network, clip, frame, start, grid), truth))
            depth = np.sin(np.pi * number / len(frames)) ** 2
            organ = about(clip.volume_from_centre[:, :3, 3].mean(axis=0), from_motion(depth * np.append(axis, turn)))
            tracked = organ @ truth
            result = _look(network, clip, frame, found @ tracked, grid)
            found = result @ inverse(tracked)
            closed.append(_distance(result, truth))
    network.train(was_training)
    return Validation(float(np.mean(starts)), float(np.mean(single)), float(np.mean(closed)))


def _look(network: nn.Module, clip: Clip, frame: int, start: Array, grid: Grid) -> Array:
    return look(network, clip.volume, clip.frames[frame][None], start, grid, passes=1).pose


def _distance(pose: Array, truth: Array) -> float:
    return distance(pose, truth, np.zeros(3))
