"""STUB until merged."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PredictionSettings:
    """Stub."""

    horizon: float = 0.3
    """Seconds."""


@dataclass(frozen=True)
class Prediction:
    motion: np.ndarray
    covariance: np.ndarray
    horizon: float
    recent_error: float


class MotionPredictor:
    def __init__(self, centre, settings=None):
        self.settings = settings or PredictionSettings()
        self.reset()

    def reset(self):
        self._last = None

    def update(self, time, motion, covariance):
        self._last = time, motion, covariance

    def predict(self, time):
        if self._last is None or not 0 <= time - self._last[0] <= 1e9 * self.settings.horizon:
            return None
        return Prediction(self._last[1], self._last[2], (time - self._last[0]) / 1e9, 0.0)
