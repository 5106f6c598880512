"""The slice of an MRI or CT on the plane of an image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array
from deeprs2v_ros.imaging.slicing import Lattice, SampledVolume, take_slice
from deeprs2v_ros.imaging.volume import Volume

_SHARES = (1.0, 99.0)  # percent of the voxels that are at most black, or white at least


class Reslicer:
    """Slices of a ``volume`` in the greys of a ``window`` (low, high), which are black and white.

    Without a ``window``, it goes from the 1st to the 99th percentile of the volume. Every value counts as data: in a
    CT or MRI, 0 and what is below are as valid as any other.

    Raises InputError for a window that is not finite or not wider than 0.
    """

    def __init__(self, volume: Volume, window: tuple[float, float] | None = None) -> None:
        array = np.ascontiguousarray(volume.array, dtype=np.float32)
        self._sampled = SampledVolume(array, np.linalg.inv(volume.volume_from_voxel))
        self.window = _usual_window(array) if window is None else (float(window[0]), float(window[1]))
        low, high = self.window
        if not (np.isfinite(self.window).all() and low < high):
            raise InputError(f"window: {low:g} to {high:g} is no range of values")

    def slice(self, lattice: Lattice, volume_from_image: Array) -> NDArray[np.uint8]:
        """Grey levels (rows, columns) at the points of the ``lattice``; ``volume_from_image`` is 4x4 mm.

        The volume is interpolated linearly. Black also wherever not all eight voxels around a point are there.
        """
        values, _, inside = take_slice(self._sampled, lattice, volume_from_image, np.ones(lattice.shape, bool))
        low, high = self.window
        grey = np.clip((values - np.float32(low)) * np.float32(255.0 / (high - low)), 0.0, 255.0)
        return np.where(inside, np.rint(grey), 0.0).astype(np.uint8)


def _usual_window(array: NDArray[np.float32]) -> tuple[float, float]:
    low, high = np.percentile(array, _SHARES).tolist()
    if low == high:  # nearly all of it is air
        low, high = float(array.min()), float(array.max())
    return (low, high) if low < high else (low, low + 1.0)
