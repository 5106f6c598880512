"""A live image as the levels of the search see it: averaged, without shadows, put to the correction as a task."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.geometry import Array
from deeprs2v_ros.registration.belief import Belief
from deeprs2v_ros.registration.correction import Task, believing, on_level
from deeprs2v_ros.registration.pyramid import Level


class Frame:
    """One ``image`` (rows, columns), averaged for a level when that is first asked for.

    ``mask`` (rows, columns) is 1 where the image is compared, and 0 elsewhere.
    """

    def __init__(self, image: NDArray[np.uint8], mask: NDArray[np.float32], levels: Sequence[Level]) -> None:
        self.image = image
        self._levels = levels
        self._masked = cv2.multiply(image, mask, scale=1.0 / 255.0, dtype=cv2.CV_32F)
        self._seen: dict[int, tuple[NDArray[np.float32], NDArray[np.bool_]]] = {}
        self._tasks: dict[int, Task] = {}

    def on_level(self, number: int, centre: Array, beliefs: Sequence[Belief], weight: float) -> Task:
        """The frame as a task on a level, numbered as in a list."""
        number %= len(self._levels)
        if number in self._tasks:
            return believing(self._tasks[number], beliefs, weight)
        averaged, visible = self._averaged(number)
        self._tasks[number] = on_level(self._levels[number], averaged, visible, centre, beliefs, weight)
        return self._tasks[number]

    def _averaged(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The average, and where it shows anatomy; the finest level has its shadows from the one before it."""
        if number not in self._seen:
            level = self._levels[number]
            averaged = level.average(self._masked)
            if number > 0 and number == len(self._levels) - 1:
                visible = level.mask & enlarged(self._averaged(number - 1)[1], level.lattice.shape)
            else:
                visible = level.visible(averaged)
            self._seen[number] = averaged, visible
        return self._seen[number]


def enlarged(mask: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """A ``mask`` (rows, columns) on a finer lattice of ``shape`` over the same area."""
    return cv2.resize(mask.view(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST).view(bool)
