"""What the ultrasound machine shows: a simulated patient, or recorded frames of a real one.

A scene knows, for every image that it will ever show, which plane of the patient it shows at that moment, and how the
patient's organ moves. Planes and points are given in the volume frame, where the volume was acquired at rest; mm, s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.geometry import Array, split_pixel_transform
from deeprs2v_ros.imaging.sequence import Sequence
from deeprs2v_ros.simulation.breathing import Breathing
from deeprs2v_ros.simulation.mri import place_of_mri
from deeprs2v_ros.simulation.scanner import UltrasoundSimulator

MINUTE = 60.0  # s


class Scene(Protocol):
    """What the cart needs of a scene. Images are counted; ``rate`` of them are shown in a second.

    ``mask`` is their valid area (rows, columns), ``image_from_pixel`` (4, 4) their pixel size, ``face`` the
    pixel (u, v) in the middle of the probe's face, ``target`` (3,) a point of the organ at rest, ``volume_from_mri``
    (4, 4) where the frame of the patient's MRI is, if there is one.
    """

    rate: float
    breathing: Breathing
    mask: NDArray[np.bool_]
    image_from_pixel: Array
    face: tuple[float, float]
    target: Array
    volume_from_mri: Array

    def reach(self) -> Array:
        """Poses volume_from_image (N, 4, 4) among which the probe will stay, up to the organ's motion."""

    def pose(self, index: int) -> Array:
        """Where the probe is held for image ``index``: volume_from_image (4, 4)."""

    def image(self, index: int, volume_from_image: Array) -> NDArray[np.uint8]:
        """Image ``index``, taken at the pose that the arm really reached."""


@dataclass(frozen=True)
class SimulatedScene:
    """A simulated patient, scanned along ``handheld``, a path from time (s) to volume_from_image."""

    simulator: UltrasoundSimulator
    handheld: Callable[[float], Array]
    rate: float

    @property
    def breathing(self) -> Breathing:
        """How the patient breathes."""
        return self.simulator.breathing

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The fan."""
        return self.simulator.probe.mask

    @property
    def image_from_pixel(self) -> Array:
        """The pixel size, as a 4x4."""
        return self.simulator.probe.image_from_pixel

    @property
    def face(self) -> tuple[float, float]:
        """The pixel in the middle of the probe's face."""
        u, v, _ = self.simulator.probe.face / self.simulator.probe.pixel_mm
        return float(u), float(v)

    @property
    def target(self) -> Array:
        """The tumour's centre."""
        return self.simulator.liver.tumour_centre

    @property
    def volume_from_mri(self) -> Array:
        """Where the frame of the subject's MRI is."""
        return place_of_mri(self.simulator.liver.seed)

    def reach(self) -> Array:
        """See `Scene`."""
        return np.stack([self.handheld(t) for t in np.linspace(0.0, MINUTE, 60)])

    def pose(self, index: int) -> Array:
        """See `Scene`."""
        return self.handheld(index / self.rate)

    def image(self, index: int, volume_from_image: Array) -> NDArray[np.uint8]:
        """See `Scene`."""
        return self.simulator.image(volume_from_image, index / self.rate)


@dataclass(frozen=True)
class RecordedScene:
    """Recorded frames of a patient who held the breath, shown as if the organ moved.

    Every frame is shown ``dwell`` times, forwards and then backwards through the ``sequence``. The organ moves rigidly,
    so a frame that was recorded at P shows its plane where the organ has carried it, D(t) P; the probe is held there.
    """

    sequence: Sequence
    mask: NDArray[np.bool_]
    breathing: Breathing
    target: Array
    rate: float
    dwell: int = 5

    @property
    def volume_from_mri(self) -> Array:
        """There is no MRI."""
        return np.eye(4)

    @property
    def image_from_pixel(self) -> Array:
        """The pixel size, as a 4x4."""
        return split_pixel_transform(self.sequence.world_from_pixel[0])[1]

    @property
    def face(self) -> tuple[float, float]:
        """The middle of the uppermost row of the valid area."""
        rows, columns = np.nonzero(self.mask)
        return float(columns[rows == rows.min()].mean()), float(rows.min())

    def reach(self) -> Array:
        """See `Scene`."""
        return np.stack([split_pixel_transform(transform)[0] for transform in self.sequence.world_from_pixel])

    def pose(self, index: int) -> Array:
        """See `Scene`."""
        recorded, _ = split_pixel_transform(self.sequence.world_from_pixel[self._frame(index)])
        return self.breathing.rigid(index / self.rate) @ recorded

    def image(self, index: int, volume_from_image: Array) -> NDArray[np.uint8]:
        """See `Scene`."""
        return self.sequence.frames[self._frame(index)]

    def _frame(self, index: int) -> int:
        """There and back: 0, 1, ... n - 1, n - 2, ... 1, 0, 1 ..."""
        last = len(self.sequence) - 1
        step = (index // self.dwell) % max(2 * last, 1)
        return min(step, 2 * last - step)
