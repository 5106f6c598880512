"""Errors of registered poses against true ones.

E = reference^-1 . result, both taken as poses of the image's centre: what the result does to the image, seen in the
frame of the reference image. Its translation is split by axis (x across, y down, z out of the plane), its rotation by
Euler angle about the same axes, and as one angle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, geodesic_distance, image_centre, inverse, rigid, split_pixel_transform

_SAME_PIXELS = 0.01  # relative difference up to which two pixel sizes are those of one image


@dataclass(frozen=True)
class PoseErrors:
    """Errors of N poses: ``translation`` (N, 3) mm, ``euler`` (N, 3) deg about x, y, z, ``geodesic`` (N,) deg."""

    translation: Array
    euler: Array
    geodesic: Array

    @property
    def euclidean(self) -> Array:
        """Distance between the image centres, (N,) mm."""
        return np.linalg.norm(self.translation, axis=1)


def pose_errors(reference: Array, result: Array, shape: tuple[int, int]) -> PoseErrors:
    """Errors of pixel transforms ``result`` (N, 4, 4) against ``reference`` (N, 4, 4), for frames of ``shape``.

    Raises InputError where the two give the pixels different sizes: then they are not of one image.
    """
    errors = np.empty((len(result), 4, 4))
    for index, (truth, found) in enumerate(zip(reference, result, strict=True)):
        pixel_true, pixel_found = (np.linalg.norm(transform[:3, :2], axis=0) for transform in (truth, found))
        if not np.allclose(pixel_found, pixel_true, rtol=_SAME_PIXELS):
            raise InputError(
                f"pose {index}: has pixels of {pixel_found[0]:.4g} x {pixel_found[1]:.4g} mm, "
                f"the reference of {pixel_true[0]:.4g} x {pixel_true[1]:.4g} mm"
            )
        errors[index] = inverse(_world_from_centre(truth, shape)) @ _world_from_centre(found, shape)
    rotation = errors[:, :3, :3]
    return PoseErrors(
        translation=errors[:, :3, 3],
        euler=Rotation.from_matrix(rotation).as_euler("xyz", degrees=True),
        geodesic=np.degrees(geodesic_distance(rotation, np.eye(3))),
    )


def _world_from_centre(world_from_pixel: Array, shape: tuple[int, int]) -> Array:
    world_from_image, image_from_pixel = split_pixel_transform(world_from_pixel)
    return world_from_image @ rigid(translation=image_centre(shape, image_from_pixel))
