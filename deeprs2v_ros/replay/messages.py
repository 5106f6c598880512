"""Recorded messages as arrays: metres become millimetres here. Anything that is no such thing raises InputError."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from deeprs2v_ros.arm.chain import Chain
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, inverse, rigid, turned_covariance

MM = 1e3
"""One metre."""
FARTHEST = 1e3
"""m of a translation."""

_NUMBERS_OF_COLOUR = {
    "mono8": (np.uint8, 1, None),
    "mono16": (np.uint16, 1, None),
    "rgb8": (np.uint8, 3, cv2.COLOR_RGB2GRAY),
    "bgr8": (np.uint8, 3, cv2.COLOR_BGR2GRAY),
    "rgba8": (np.uint8, 4, cv2.COLOR_RGBA2GRAY),
    "bgra8": (np.uint8, 4, cv2.COLOR_BGRA2GRAY),
}


def stamp_of(header: Any) -> int:
    """A header's stamp in ns."""
    return header.stamp.sec * 10**9 + header.stamp.nanosec


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
        except InputError:  # TF says so and goes on, and so do we
            continue
        yield each.header.frame_id.lstrip("/"), each.child_frame_id.lstrip("/"), stamp_of(each.header), place


def covariance_of(message: Any) -> Array:
    """The covariance (6, 6) of a pose message about the pose's origin and in its own axes, in mm and rad."""
    pose = message.pose.pose
    at, turn = pose.position, pose.orientation
    parent_from_frame = rigid_from((at.x, at.y, at.z), (turn.x, turn.y, turn.z, turn.w), "pose")
    units = np.array([MM] * 3 + [1.0] * 3)
    covariance = units[:, None] * np.reshape(message.pose.covariance, (6, 6)) * units
    if not np.isfinite(covariance).all():
        raise InputError("pose: its covariance is not finite")
    return turned_covariance(covariance, inverse(parent_from_frame))


def joints_of(message: Any, chain: Chain) -> dict[str, float]:
    """Joint values (rad, mm) by name."""
    if len(message.name) != len(message.position):
        raise InputError(f"{len(message.name)} names with {len(message.position)} positions")
    kinds = {name: joint.kind for name, joint in chain.joints.items()}
    return {
        name: float(value) * (MM if kinds.get(name) == "prismatic" else 1.0)
        for name, value in zip(message.name, message.position, strict=True)
    }


def image_of(message: Any) -> NDArray[np.uint8]:
    """Grey levels (rows, columns) of an image message."""
    if message.encoding not in _NUMBERS_OF_COLOUR:
        raise InputError(f"image: the encoding {message.encoding!r} is none of {', '.join(_NUMBERS_OF_COLOUR)}")
    kind, channels, code = _NUMBERS_OF_COLOUR[message.encoding]
    row = message.width * channels * np.dtype(kind).itemsize
    data = np.asarray(message.data, dtype=np.uint8)
    if message.step < row or len(data) < message.height * message.step or row == 0:
        raise InputError(
            f"image: {len(data)} bytes in rows of {message.step} do not hold {message.width} x {message.height} pixels"
        )
    rows = np.ascontiguousarray(data[: message.height * message.step].reshape(message.height, -1)[:, :row])
    order = ">" if message.is_bigendian else "<"
    numbers = rows.view(np.dtype(kind).newbyteorder(order)).reshape(message.height, message.width, channels)
    if code is not None:
        return cv2.cvtColor(numbers, code)
    grey = numbers[:, :, 0]
    return grey.copy() if kind is np.uint8 else np.rint(grey * (255.0 / 65535.0)).astype(np.uint8)
