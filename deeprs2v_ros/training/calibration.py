"""How sure a trained network may say it is: its standard deviations, held against how far off it really was.

Training by likelihood makes a network as sure as it may be of what it is trained on. On other subjects it is not as
good, and is asked in another way: it looks twice, and where it has most to say. So after training its covariances C are
compared with its errors e on the validation clips. With S = diag(s), one factor for each degree of freedom, the errors
follow Student's t distribution of scale S C S, with the tails of a `Belief`, and s is what makes them most likely:

    minimise   sum_i ln s_i + (n + 6) / 2  mean ln(1 + e^T (S C S)^-1 e / n)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize
from tqdm import tqdm

from deeprs2v_ros.geometry import Array, inverse, to_motion
from deeprs2v_ros.network.checkpoint import load_weights, save_weights
from deeprs2v_ros.network.prediction import look
from deeprs2v_ros.registration.belief import TAIL
from deeprs2v_ros.training.clips import Clip
from deeprs2v_ros.training.pairs import draw_displacement


def calibrate(path: Path, clips: Sequence[Clip], reach: float, seed: int, device: torch.device) -> None:
    """Find the factors of the weights in ``path`` from their errors on ``clips``, and write them into the file.

    Frames are displaced by up to ``reach`` times the paper's range, as in training.
    """
    checkpoint = load_weights(path)
    network, grid = checkpoint.network.to(device), checkpoint.description.grid
    rng = np.random.default_rng(seed)
    errors, covariances = [], []
    for clip in tqdm([each.to(device) for each in clips], desc="calibration", unit="clip"):
        for frame, truth in zip(clip.frames, clip.volume_from_centre, strict=True):
            start = truth @ draw_displacement(rng, rng.uniform(0.0, reach))
            found = look(network, clip.volume, frame[None], start, grid)
            errors.append(to_motion(inverse(found.pose) @ truth))
            covariances.append(found.scale)
    factors = calibration_factors(np.stack(errors), np.stack(covariances))
    save_weights(path, network, dataclasses.replace(checkpoint.description, calibration=tuple(factors.tolist())))


def calibration_factors(errors: Array, covariances: Array) -> Array:
    """The factors s (6,) for ``errors`` (N, 6), small motions in mm and rad, and their ``covariances`` (N, 6, 6)."""

    def cost(log_factors: Array) -> float:
        squared = squared_distances(errors, covariances, np.exp(log_factors))
        return float(log_factors.sum() + 0.5 * (TAIL + 6.0) * np.log1p(squared / TAIL).mean())

    return np.exp(minimize(cost, np.zeros(6)).x)


def squared_distances(errors: Array, covariances: Array, factors: Array) -> Array:
    """e^T (S C S)^-1 e of each error (N,). If S C S is right, a sixth of it has the distribution F(6, `TAIL`)."""
    scaled = errors / factors
    return np.einsum("ni,ni->n", scaled, np.linalg.solve(covariances, scaled[..., None])[..., 0])
