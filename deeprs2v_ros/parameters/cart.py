"""Parameters of the cart around the patient: images, arm, and the place of the volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from deeprs2v_ros.arm.description import Arm, read_arm
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import rigid
from deeprs2v_ros.imaging.image_geometry import ImageGeometry
from deeprs2v_ros.parameters.declaring import NUMBERS, Declare, declare_numbers, declare_positive
from deeprs2v_ros.resources import resource

LARGEST = 10_000
"""The most rows or columns of an image."""
COARSEST = 10.0
"""The largest pixel, in mm."""
FASTEST = 1000.0
"""The highest rate of anything, per second."""
_METRES = 1e-3  # one millimetre: parameters are in metres, as everything of ROS is


def declare_images(declare: Declare) -> ImageGeometry:
    """The images' geometry from the parameters ``image.*``. Raises InputError for one that is impossible."""
    rows = declare_positive(declare, "image.rows", 391, "Rows of the ultrasound images, in pixels", LARGEST)
    columns = declare_positive(declare, "image.columns", 546, "Columns of the ultrasound images, in pixels", LARGEST)
    size = declare_numbers(declare, "image.pixel_size", [0.38, 0.38], 2, "Size [x, y] of a pixel in mm")
    if not 0.0 < min(size) <= max(size) <= COARSEST:
        raise InputError(f"parameter image.pixel_size: is {list(size)}, not two positive numbers up to {COARSEST:g}")
    face = declare_numbers(
        declare,
        "image.face",
        NUMBERS,
        2,
        "Pixel [u, v] in the middle of the probe's face; left out: middle of the first row",
    )
    return ImageGeometry((rows, columns), size, face)


@dataclass(frozen=True)
class ArmSettings:
    """The parameters ``arm`` and ``arm_mount``."""

    path: str
    mount: tuple[float, ...] | None

    def read(self) -> Arm:
        """The arm, mounted as it is. Raises InputError for a file that describes none, or one without a mount."""
        arm = read_arm(self.path)
        if self.mount is None:
            return arm
        turn = Rotation.from_euler("xyz", self.mount[3:]).as_matrix()
        return arm.mounted(rigid(turn, np.array(self.mount[:3]) / _METRES))


def declare_arm_settings(declare: Declare) -> ArmSettings:
    """Which arm it is, and where it stands."""
    path = declare("arm", "", "YAML file of the arm; empty: the liver cart's")
    mount = declare_numbers(
        declare,
        "arm_mount",
        NUMBERS,
        6,
        "Where the arm stands in base_link: x, y, z (m), roll, pitch, yaw (rad); left out: as in the URDF",
    )
    return ArmSettings(str(path or resource("config/arm/liver.yaml")), mount)


def declare_pose_rate(declare: Declare) -> float:
    """How often the arm says how sure its pose is. Raises InputError for what is not positive."""
    return declare_positive(
        declare, "pose_rate", 2.0, "How often per second the pose is published with its covariance", FASTEST
    )


def declare_volume_place(declare: Declare) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Translation (m) and quaternion (x, y, z, w) of us_volume in base_link. They may change while a node runs."""
    xyz = declare_numbers(
        declare,
        "base_from_volume.xyz",
        [0.0, 0.0, 0.0],
        3,
        "Where the volume was acquired: us_volume in base_link, in m; a scene knows it",
        read_only=False,
    )
    xyzw = declare_numbers(
        declare, "base_from_volume.xyzw", [0.0, 0.0, 0.0, 1.0], 4, "The same: quaternion [x, y, z, w]", read_only=False
    )
    return xyz, xyzw


def declare_tumour_radius(declare: Declare) -> float:
    """Radius of the tumour (mm): of its marker and outline. Raises InputError for what is not positive."""
    return declare_positive(declare, "tumor.radius", 0.01, "Radius of the tumour in m", 1.0) / _METRES
