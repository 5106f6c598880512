"""Slices of the ultrasound volume that belong to a frame, and both in one picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.geometry import Array
from deeprs2v_ros.imaging.slicing import Lattice, take_slice
from deeprs2v_ros.imaging.volume import Volume
from deeprs2v_ros.registration.pyramid import sample_volume

Picture = NDArray[np.uint8]


class Slicer:
    """Shows a ``volume``, as fine as it is, on planes the size of a frame.

    ``mask`` (rows, columns) is the frames' valid area, ``pixel_size`` (x, y) mm. Every second pixel is sampled, which
    is still finer than voxels are, and the rest interpolated.
    """

    def __init__(self, volume: Volume, mask: NDArray[np.bool_], pixel_size: tuple[float, float]) -> None:
        self._volume = sample_volume(volume, float(volume.spacing.min()))
        self._shape = mask.shape
        self._mask = np.ascontiguousarray(mask[::2, ::2])
        # The middle of two by two pixels, so that enlarging by two brings every value to its pixel.
        x, y = pixel_size
        self._lattice = Lattice(self._mask.shape, (2.0 * x, 2.0 * y), (0.5 * x, 0.5 * y))

    def slice(self, volume_from_image: Array) -> Picture:
        """The slice (rows, columns) at a pose (4, 4) mm; 0 where there is nothing."""
        values = take_slice(self._volume, self._lattice, volume_from_image, self._mask).values
        grey = np.clip(255.0 * values, 0.0, 255.0).astype(np.uint8)
        rows, columns = self._shape
        return cv2.resize(grey, None, fx=2.0, fy=2.0, interpolation=cv2.INTER_LINEAR)[:rows, :columns]


def blend(frame: Picture, volume_slice: Picture) -> Picture:
    """Frame in magenta and slice in green (rows, columns, 3): where they agree, the picture is grey."""
    return np.dstack([frame, volume_slice, frame])


def three_slices(volume: Volume) -> Picture:
    """The middle slices across z, y and x, side by side on black, in pixels of the volume's smallest spacing."""
    array = volume.array.astype(np.float32) * np.float32(255.0 / volume.array.max())
    z, y, x = (size // 2 for size in array.shape)
    step = volume.spacing.min()
    dx, dy, dz = volume.spacing / step
    slices = [(array[z], dx, dy), (array[:, y], dx, dz), (array[:, :, x], dy, dz)]
    pictures = [
        cv2.resize(each, None, fx=across, fy=down, interpolation=cv2.INTER_LINEAR) for each, across, down in slices
    ]
    height = max(picture.shape[0] for picture in pictures)
    padded = [np.pad(picture, ((0, height - picture.shape[0]), (0, 0))) for picture in pictures]
    return np.clip(np.hstack(padded), 0.0, 255.0).astype(np.uint8)
