"""The one place where the core's millimetres and arrays become metres and messages, and back.

Stamps are whole nanoseconds: seconds since 1970 in a float are exact to a quarter of a microsecond only, and it
matters whether two stamps are equal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from builtin_interfaces.msg import Time as Stamp
from cv_bridge import CvBridge
from geometry_msgs.msg import (
    Point,
    PointStamped,
    Pose,
    PoseWithCovariance,
    PoseWithCovarianceStamped,
    Transform,
    TransformStamped,
)
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import Image, JointState

from deeprs2v_ros.arm.chain import Chain, LinkTransform
from deeprs2v_ros.arm.joint_check import named
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, inverse, is_covariance, rigid, turned_covariance
from deeprs2v_ros.imaging.image_encodings import grey_levels

METRES = 1e-3
"""One millimetre."""
SECOND = 1_000_000_000
"""In nanoseconds."""

_BRIDGE = CvBridge()


def nanoseconds(stamp: Stamp) -> int:
    """A message's stamp as a whole number."""
    return stamp.sec * SECOND + stamp.nanosec


def stamp_message(time: int) -> Stamp:
    """Nanoseconds as a message's stamp."""
    return Stamp(sec=time // SECOND, nanosec=time % SECOND)


def transform_messages(
    transforms: Sequence[LinkTransform], stamp: Stamp, reused: Sequence[TransformStamped] | None = None
) -> Sequence[TransformStamped]:
    """Transforms (mm) of children in their parents, all at one ``stamp``, in metres.

    ``reused`` are messages that this function made before, of the same frames in the same order: they are filled anew
    and returned, since making them costs several times as much.
    """
    messages = [_empty_message(each) for each in transforms] if reused is None else reused
    places = np.array([each.parent_from_child[:3] for each in transforms])
    places[:, :, 3] *= METRES
    for message, ((a, b, c, x), (d, e, f, y), (g, h, i, z)) in zip(messages, places.tolist(), strict=True):
        message.header.stamp = stamp
        to, turn = message.transform.translation, message.transform.rotation
        to.x, to.y, to.z = x, y, z
        turn.x, turn.y, turn.z, turn.w = _quaternion(a, b, c, d, e, f, g, h, i)
    return messages


def _empty_message(transform: LinkTransform) -> TransformStamped:
    message = TransformStamped(child_frame_id=transform.child)
    message.header.frame_id = transform.parent
    return message


def _quaternion(
    a: float, b: float, c: float, d: float, e: float, f: float, g: float, h: float, i: float
) -> tuple[float, float, float, float]:
    """The unit quaternion (x, y, z, w) of a rotation's rows (a, b, c), (d, e, f), (g, h, i).

    Of the four formulas, the one that divides by the largest component is used (Shepperd 1978). For a few rotations at
    a time, plain numbers are several times faster than arrays.
    """
    trace = a + e + i
    if trace >= max(a, e, i):
        x, y, z, w = h - f, c - g, d - b, 1.0 + trace
    elif a >= e and a >= i:
        x, y, z, w = 1.0 + a - e - i, b + d, c + g, h - f
    elif e >= i:
        x, y, z, w = b + d, 1.0 + e - a - i, f + h, c - g
    else:
        x, y, z, w = c + g, f + h, 1.0 + i - a - e, d - b
    scale = 1.0 / math.sqrt(x * x + y * y + z * z + w * w)
    return x * scale, y * scale, z * scale, w * scale


def transform_from_message(message: Transform) -> Array:
    """The 4x4 (mm) of a transform message."""
    to, turn = message.translation, message.rotation
    return transform_from_numbers((to.x, to.y, to.z), (turn.x, turn.y, turn.z, turn.w), "transform")


def transform_from_numbers(xyz: Sequence[float], xyzw: Sequence[float], where: str) -> Array:
    """The 4x4 (mm) of a translation in metres and a quaternion, which has to have unit length up to rounding.

    Raises InputError naming ``where`` otherwise.
    """
    if not np.isfinite([*xyz, *xyzw]).all() or abs(np.linalg.norm(xyzw) - 1.0) > 1e-2:
        raise InputError(f"{where}: {list(xyz)} and the quaternion {list(xyzw)} are no rigid transform")
    return rigid(Rotation.from_quat(xyzw).as_matrix(), np.array(xyz) / METRES)


def pose_message(transform: Array) -> Pose:
    """A transform (4, 4) mm as a pose in metres."""
    message = Pose()
    position, turn = message.position, message.orientation
    position.x, position.y, position.z = (METRES * transform[:3, 3]).tolist()
    turn.x, turn.y, turn.z, turn.w = Rotation.from_matrix(transform[:3, :3]).as_quat().tolist()
    return message


def transform_from_pose(message: Pose) -> Array:
    """The 4x4 (mm) of a pose message."""
    position, turn = message.position, message.orientation
    return transform_from_numbers((position.x, position.y, position.z), (turn.x, turn.y, turn.z, turn.w), "pose")


def point_message(point: ArrayLike, frame: str, stamp: Stamp) -> PointStamped:
    """A point (3,) mm in ``frame``."""
    x, y, z = (METRES * np.asarray(point, dtype=float)).tolist()
    message = PointStamped(point=Point(x=x, y=y, z=z))
    message.header.frame_id, message.header.stamp = frame, stamp
    return message


def covariance_message(covariance: Array) -> NDArray[np.float64]:
    """Covariance (6, 6) of a small motion in mm and rad, as 36 numbers in m and rad."""
    units = np.array([METRES] * 3 + [1.0] * 3)
    return (units[:, None] * covariance * units).ravel()


def uncertain_pose_message(
    parent_from_frame: Array, covariance: Array, parent: str, stamp: Stamp
) -> PoseWithCovarianceStamped:
    """A pose (4, 4) mm in ``parent`` with the covariance (6, 6) of a small motion about its origin, in its own axes.

    The message's covariance is along the axes of ``parent``, as ROS has it.
    """
    message = PoseWithCovarianceStamped()
    message.header.frame_id, message.header.stamp = parent, stamp
    message.pose.pose = pose_message(parent_from_frame)
    message.pose.covariance = covariance_message(turned_covariance(covariance, parent_from_frame))
    return message


def covariance_from_pose(message: PoseWithCovariance) -> Array:
    """The covariance (6, 6) of a pose message about the pose's origin and in its own axes, in mm and rad.

    Raises InputError if the pose or the covariance is not a valid one.
    """
    units = np.array([1.0 / METRES] * 3 + [1.0] * 3)
    given = np.reshape(message.covariance, (6, 6))
    if not is_covariance(given):
        raise InputError("pose: its covariance is none: not finite, not symmetric, or with variances below zero")
    in_parent = units[:, None] * given * units
    return turned_covariance(in_parent, inverse(transform_from_pose(message.pose)))


def image_message(image: NDArray[np.uint8], encoding: str, frame: str, stamp: Stamp) -> Image:
    """An image (rows, columns) mono8 or (rows, columns, 3) rgb8."""
    message = _BRIDGE.cv2_to_imgmsg(image, encoding)
    message.header.frame_id, message.header.stamp = frame, stamp
    return message


def image_from_message(message: Image) -> NDArray[np.uint8]:
    """Grey levels (rows, columns) of an image message, in any encoding that has them: see `image_encodings`.

    Raises InputError for all others, and for data that are not exactly those of the image.
    """
    # Not by cv_bridge: if a message is wrong, it cuts the picture short, reads another one, or fails in various ways.
    data, shape = np.asarray(message.data, dtype=np.uint8), (message.height, message.width)
    return grey_levels(data, shape, message.encoding, message.step, bool(message.is_bigendian))


def joint_state(joints: Mapping[str, float], chain: Chain, stamp: Stamp) -> JointState:
    """Joint values (rad, mm) as a message (rad, m)."""
    message = JointState(name=list(joints))
    message.position = [value * _unit(chain, name) for name, value in joints.items()]
    message.header.stamp = stamp
    return message


def joints_from_message(message: JointState, chain: Chain) -> dict[str, float]:
    """Joint values (rad, mm) of a message. Raises SampleError when it has not one position for each name."""
    return {name: value / _unit(chain, name) for name, value in named(message.name, message.position).items()}


def _unit(chain: Chain, name: str) -> float:
    joint = chain.joints.get(name)
    return METRES if joint is not None and joint.kind == "prismatic" else 1.0
