"""True poses displaced at random, as the paper does it, to be registered home again."""

from __future__ import annotations

from collections.abc import Sequence as Items

import numpy as np
from scipy.spatial.transform import Rotation

from deeprs2v_ros.geometry import Array, about, image_centre, rigid, split_pixel_transform
from deeprs2v_ros.imaging.sequence import Sequence

TRANSLATION = np.array([10.0, 10.0, 5.0])
"""mm: the paper's range along x, y and z of the image, both ways."""

ROTATION = np.array([5.0, 5.0, 10.0])
"""Degrees: the paper's range of the Euler angles about x, y and z."""


def perturbed(sequence: Sequence, seed: int | Items[int], scale: float = 1.0, repeats: int = 1) -> Sequence:
    """The frames of ``sequence``, ``repeats`` times over, each with a displaced pose.

    A pose is moved about the image centre, in image axes, by a translation and Euler angles drawn evenly from
    ``scale`` times the paper's range. A frame that is not valid keeps its pose, but takes its draw like the others.
    """
    rng = np.random.default_rng(seed)
    count = repeats * len(sequence)
    transforms = np.tile(sequence.world_from_pixel, (repeats, 1, 1))
    valid = np.tile(sequence.valid, repeats)
    for index in range(count):
        angles, shift = rng.uniform(-1.0, 1.0, 3) * ROTATION * scale, rng.uniform(-1.0, 1.0, 3) * TRANSLATION * scale
        if valid[index]:
            transforms[index] = _displaced(transforms[index], sequence.frames.shape[1:], angles, shift)
    frames = np.tile(sequence.frames, (repeats, 1, 1))
    return Sequence(frames, transforms, np.arange(count) / 10.0, valid)


def _displaced(world_from_pixel: Array, shape: tuple[int, int], angles: Array, shift: Array) -> Array:
    world_from_image, image_from_pixel = split_pixel_transform(world_from_pixel)
    motion = rigid(Rotation.from_euler("xyz", angles, degrees=True).as_matrix(), shift)
    return world_from_image @ about(image_centre(shape, image_from_pixel), motion) @ image_from_pixel
