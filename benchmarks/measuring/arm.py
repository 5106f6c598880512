"""What a cart's registration is told of its arm."""

from __future__ import annotations

from deeprs2v_ros.arm.description import read_arm
from deeprs2v_ros.arm.uncertainty import UncertainArm
from deeprs2v_ros.frames import IMAGE
from deeprs2v_ros.geometry import Array, image_centre, seen_from
from deeprs2v_ros.resources import resource


def nominal_arm(shape: tuple[int, int], image_from_pixel: Array) -> Array:
    """Covariance (6, 6) of the tracked pose about the image centre, mm and rad, as the node has it from arm/image_pose.

    It is that of the liver cart's arm as shipped, never calibrated, in its resting posture, with images of ``shape``
    (rows, columns) and a pixel size of ``image_from_pixel`` (4, 4).
    """
    arm = read_arm(resource("config/arm/liver.yaml")).holding(shape, image_from_pixel)
    about_centre = seen_from(image_centre(shape, image_from_pixel))
    return about_centre @ UncertainArm(arm, IMAGE).pose(arm.rest).covariance @ about_centre.T
