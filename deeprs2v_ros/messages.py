"""Messages as arrays, without ROS: of a bag, or live ones, which have the same fields.

Metres become millimetres here. Anything that is no such thing raises InputError.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from deeprs2v_ros.arm.chain import Chain
from deeprs2v_ros.arm.joint_check import named
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.frames import BASE
from deeprs2v_ros.geometry import Array, inverse, is_covariance, rigid, turned_covariance
from deeprs2v_ros.imaging.image_encodings import grey_levels

MM = 1e3
"""One metre."""
FARTHEST = 1e3
"""m of a translation."""


def stamp_of(header: Any) -> int:
    """A header's stamp in ns."""
    return time_of(header.stamp)


def time_of(time: Any) -> int:
    """A time in ns."""
    return time.sec * 10**9 + time.nanosec


def point_of(point: Any) -> Array:
    """A point or a translation (3,) in mm."""
    return np.array([point.x, point.y, point.z]) * MM


def rigid_from(xyz: Any, xyzw: Any, where: str) -> Array:
    """The 4x4 (mm) of a translation (m) and a quaternion, which has to have unit length up to rounding."""
    near = np.abs(xyz).max() <= FARTHEST  # which NaN is not
    if not near or not abs(np.linalg.norm(xyzw) - 1.0) <= 1e-2:
        raise InputError(f"{where}: {list(xyz)} and the quaternion {list(xyzw)} are no rigid transform")
    return rigid(Rotation.from_quat(xyzw).as_matrix(), np.array(xyz) * MM)


def transforms_of(message: Any) -> Iterator[tuple[str, str, int, Array]]:
    """Parent, child, stamp and parent_from_child of each transform in a TF message that is one."""
    for each in message.transforms:
        to, turn = each.transform.translation, each.transform.rotation
        try:
            place = rigid_from((to.x, to.y, to.z), (turn.x, turn.y, turn.z, turn.w), each.child_frame_id)
        except InputError:  # the nodes say so and go on, and so do we
            continue
        yield each.header.frame_id.lstrip("/"), each.child_frame_id.lstrip("/"), stamp_of(each.header), place


def covariance_of(message: Any) -> Array:
    """The covariance (6, 6) of a pose message about the pose's origin and in its own axes, in mm and rad.

    Raises InputError for one in another frame than base_link, and for what is no pose or covariance.
    """
    if message.header.frame_id.lstrip("/") != BASE:
        raise InputError(f"pose: is in {message.header.frame_id!r:.100}, not in {BASE}")
    pose = message.pose.pose
    at, turn = pose.position, pose.orientation
    parent_from_frame = rigid_from((at.x, at.y, at.z), (turn.x, turn.y, turn.z, turn.w), "pose")
    units = np.array([MM] * 3 + [1.0] * 3)
    given = np.reshape(message.pose.covariance, (6, 6))
    if not is_covariance(given):
        raise InputError("pose: its covariance is none: not finite, not symmetric, or with variances below zero")
    return turned_covariance(units[:, None] * given * units, inverse(parent_from_frame))


def joints_of(message: Any, chain: Chain) -> dict[str, float]:
    """Joint values (rad, mm) by name. Raises SampleError when there is not one position for each name."""
    kinds = {name: joint.kind for name, joint in chain.joints.items()}
    return {
        name: float(value) * (MM if kinds.get(name) == "prismatic" else 1.0)
        for name, value in named(message.name, message.position).items()
    }


def image_of(message: Any) -> NDArray[np.uint8]:
    """Grey levels (rows, columns) of an image message."""
    data, shape = np.asarray(message.data, dtype=np.uint8), (message.height, message.width)
    return grey_levels(data, shape, message.encoding, message.step, bool(message.is_bigendian))
