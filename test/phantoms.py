"""Volumes with known content, and frames that SimpleITK cuts out of them: an implementation independent of ours."""

from __future__ import annotations

import cv2
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from deeprs2v_ros.geometry import Array, about, apply, from_motion, image_centre, rigid
from deeprs2v_ros.imaging.volume import Volume, to_image

SHAPE = (180, 240)  # rows, columns of a frame
IMAGE_FROM_PIXEL = np.diag([0.5, 0.5, 1.0, 1.0])
CENTRE = image_centre(SHAPE, IMAGE_FROM_PIXEL)


def fan() -> NDArray[np.bool_]:
    mask = np.zeros(SHAPE, np.uint8)
    cv2.ellipse(mask, (120, -40), (215, 215), 0, 60, 120, 1, -1)
    mask[:5] = 0
    return mask.astype(bool)


def phantom(content: str, seed: int = 0) -> Volume:
    """120 x 110 x 100 voxels of 1.2 x 1.0 x 1.5 mm, tilted in space; no voxel is 0."""
    rng = np.random.default_rng(seed)
    shape, spacing = (100, 110, 120), np.array([1.2, 1.0, 1.5])
    z, y, x = np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, spacing[::-1], strict=True)), indexing="ij")
    texture = ndimage.gaussian_filter(rng.standard_normal(shape), 1.2)
    array = 60.0 + 12.0 * texture / texture.std()
    if content == "spheres":
        for _ in range(45):
            centre, radius = rng.uniform([5, 5, 5], [140, 105, 145]), rng.uniform(4, 12)
            inside = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 < radius**2
            array[inside] = rng.choice([8.0, 120.0])
    elif content == "columns":  # the same all along z
        array = np.broadcast_to(array.mean(axis=0, keepdims=True) * 3 - 120, shape).copy()
    elif content == "grid of wires":
        array = array * 0.1 + 40 + 160 * np.exp(-((x % 12 - 6) ** 2 + (y % 12 - 6) ** 2) / 4)
    tilt = Rotation.from_euler("xyz", [25, -15, 40], degrees=True).as_matrix()
    return Volume(np.clip(array, 1, 255).astype(np.uint8), spacing, np.array([30.0, -50.0, 10.0]), tilt)


def middle_pose(volume: Volume, motion: tuple[float, ...] = (0, 0, 0, 0, 0, 0)) -> Array:
    """volume_from_image of a frame across the volume's middle, moved by ``motion`` about the image centre."""
    middle = apply(volume.volume_from_voxel, (np.array(volume.size) - 1) / 2)
    return rigid(volume.direction, middle - volume.direction @ CENTRE) @ displacement(motion)


def displacement(motion: tuple[float, ...]) -> Array:
    """A motion (mm, degrees) about the image centre."""
    return about(CENTRE, from_motion([*motion[:3], *np.radians(motion[3:])]))


def cut_frame(volume: Volume, pose: Array, seed: int = 0, noise: float = 0.1) -> NDArray[np.uint8]:
    """The frame (rows, columns) at a pose, with multiplicative noise."""
    plane = sitk.Image(*SHAPE[::-1], 1, sitk.sitkFloat32)
    plane.SetSpacing([0.5, 0.5, 1.0])
    plane.SetOrigin(pose[:3, 3].tolist())
    plane.SetDirection(pose[:3, :3].ravel().tolist())
    image = sitk.Cast(to_image(volume), sitk.sitkFloat32)
    values = sitk.GetArrayFromImage(sitk.Resample(image, plane, sitk.Transform(), sitk.sitkLinear, 0.0))[0]
    grain = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(SHAPE), 1.0)
    return (np.clip(values * (1.0 + noise * grain / grain.std()), 0, 255) * fan()).astype(np.uint8)
