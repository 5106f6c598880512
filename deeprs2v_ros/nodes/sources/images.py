"""Where images come from: each source makes the next image, with the time at which it is, was or will be acquired.

Times are whole nanoseconds on the clock of the caller, a function that returns the time.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, split_pixel_transform
from deeprs2v_ros.imaging.sequence import read_sequence
from deeprs2v_ros.simulation.cart import Cart

SECOND = 1_000_000_000
FLIPS = {"horizontal": 1, "vertical": 0, "both": -1}
VIDEO_RATE = 25.0  # images per second of a file that does not say
PAUSE = 0.5  # s between the end of a sequence and its next beginning

Clock = Callable[[], int]


@dataclass(frozen=True)
class Frame:
    """One image (rows, columns) acquired at ``stamp``; its pose, and where the target truly is (mm), if known."""

    image: NDArray[np.uint8]
    stamp: int
    volume_from_image: Array | None = None
    target_in_base: Array | None = None


class ImageSource(ABC):
    """Images in the order of time. ``trouble`` says what is wrong at present; empty: nothing."""

    trouble: str = ""

    @abstractmethod
    def next(self, clock: Clock) -> Frame | None:
        """The next image; None while there is none."""


class SceneSource(ImageSource):
    """Images of a cart's scene. Image k is taken at the time k / rate, whoever asks, so that the encoders agree."""

    def __init__(self, cart: Cart) -> None:
        self._cart = cart
        self._period = Fraction(SECOND) / Fraction(cart.scene.rate)

    def next(self, clock: Clock) -> Frame:
        """The next image that is still to come. Its stamp is rounded up, so that it is not returned twice."""
        index = math.floor(clock() / self._period) + 1
        seconds = index / self._cart.scene.rate
        return Frame(
            self._cart.image(index), math.ceil(index * self._period), target_in_base=self._cart.target_in_base(seconds)
        )


class SequenceSource(ImageSource):
    """A recorded sequence with its poses, at the pace at which it was recorded, in a loop."""

    def __init__(self, path: str, shape: tuple[int, int], pixel_size: tuple[float, float]) -> None:
        """Raise InputError if frames are not of this ``shape`` or ``pixel_size`` (x, y) mm, or if times do not grow."""
        self._sequence = read_sequence(path)
        if self._sequence.frames.shape[1:] != shape:
            found = self._sequence.frames.shape[1:]
            raise InputError(f"{path}: its frames have {found} pixels, image.rows and image.columns are {shape}")
        if (np.diff(self._sequence.timestamps) <= 0.0).any():
            raise InputError(f"{path}: the time stamps of its frames do not grow")
        self._poses: list[Array | None] = []
        for number, transform in enumerate(self._sequence.world_from_pixel):
            pose, image_from_pixel = split_pixel_transform(transform)
            if self._sequence.valid[number] and not np.allclose(np.diag(image_from_pixel)[:2], pixel_size, rtol=1e-3):
                raise InputError(
                    f"{path}: the pixels of frame {number} are not of image.pixel_size, {list(pixel_size)} mm"
                )
            self._poses.append(pose if self._sequence.valid[number] else None)
        self._next, self._origin = 0, 0

    def next(self, clock: Clock) -> Frame:
        """The next frame; it starts again where the sequence ends, and where the clock has jumped."""
        now, times = clock(), self._sequence.timestamps
        stamp = self._origin + round((times[self._next] - times[0]) * SECOND)
        if self._next == 0 or abs(stamp - now) > (np.diff(times).max(initial=0.0) + PAUSE) * SECOND:
            self._next, stamp = 0, now + round(PAUSE * SECOND)
            self._origin = stamp
        frame = Frame(self._sequence.frames[self._next], stamp, self._poses[self._next])
        self._next = (self._next + 1) % len(times)
        return frame


def open_capture(device: str) -> cv2.VideoCapture:
    """A capture device by its number or path, a stream by its address, or a video file; closed if there is none."""
    if not device.isdigit():
        return cv2.VideoCapture(device)
    if sys.platform == "linux" and not Path(f"/dev/video{device}").exists():
        return cv2.VideoCapture()  # OpenCV would print lines of its own each time
    return cv2.VideoCapture(int(device))


class VideoSource(ImageSource):
    """A frame grabber, or a video file at its own pace, in a loop.

    A source that stops giving images of the right size is closed, and opened again with every call until it does.
    """

    def __init__(
        self,
        device: str,
        flip: str,
        crop: tuple[int, ...],
        shape: tuple[int, int],
        open_capture: Callable[[str], cv2.VideoCapture] = open_capture,
    ) -> None:
        """Raise InputError when it cannot be opened, or if its images, once cropped, do not have the right ``shape``.

        ``flip`` mirrors the images: none, horizontal, vertical or both. ``crop`` is (left, top, width, height), zeros
        for the whole image.
        """
        self._device, self._flip, self._crop, self._shape = device, FLIPS.get(flip), crop, shape
        if len(crop) != 4 or min(crop) < 0:
            raise InputError(f"parameter video.crop: is {list(crop)}, not [left, top, width, height]")
        self._live = device.isdigit() or "://" in device or Path(device).is_char_device()
        self._open_capture = open_capture
        self._capture = open_capture(device)
        if not self._capture.isOpened():
            raise InputError(f"parameter video.device: {device} cannot be opened as a video")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self._period = round(SECOND / (rate if rate > 0.0 else VIDEO_RATE))
        self._stamp = 0
        fault = self._fault(self._read())
        if fault:
            raise InputError(fault)

    def next(self, clock: Clock) -> Frame | None:
        """The next image; None if there is none, or not of the right size: ask again after a while."""
        if not self._capture.isOpened():
            self._capture = self._open_capture(self._device)
            if self._live:
                self._read()  # what a device has kept may be old
        image = self._read()
        now = clock()  # reading blocks until the machine has shown a new picture
        self.trouble = self._fault(image)
        if self.trouble:
            self._capture.release()
            return None
        if self._live:
            return Frame(image, now)
        self._stamp += self._period
        if not now - self._period < self._stamp <= now + 2 * self._period:
            self._stamp = now + self._period
        return Frame(image, self._stamp)

    def _fault(self, image: NDArray[np.uint8] | None) -> str:
        if image is None:
            return f"{self._device}: shows no image"
        if image.shape != self._shape:
            return f"{self._device}: its images, cropped, have {image.shape[:2]} pixels, not {self._shape}"
        return ""

    def _read(self) -> NDArray[np.uint8] | None:
        try:
            there, image = self._capture.read()
            if not there and not self._live:
                self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
                there, image = self._capture.read()
        except cv2.error:  # some devices raise this when they are unplugged while being read
            return None
        if not there:
            return None
        left, top, width, height = self._crop
        if width and height:
            image = image[top : top + height, left : left + width]
        if image.ndim == 3 and image.size:
            image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        return np.ascontiguousarray(image if self._flip is None or not image.size else cv2.flip(image, self._flip))
