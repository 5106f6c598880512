"""Transforms as messages and as matrices, by way of scipy."""

import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.time import Time
from scipy.spatial.transform import Rotation


def message(parent, child, seconds, matrix=None):
    """parent_from_child (4x4, identity if None) at a time, as a message."""
    matrix = np.eye(4) if matrix is None else matrix
    stamped = TransformStamped(child_frame_id=child)
    stamped.header.frame_id = parent
    stamped.header.stamp = at(seconds).to_msg()
    translation, rotation = stamped.transform.translation, stamped.transform.rotation
    translation.x, translation.y, translation.z = matrix[:3, 3].tolist()
    rotation.x, rotation.y, rotation.z, rotation.w = Rotation.from_matrix(matrix[:3, :3]).as_quat().tolist()
    return stamped


def matrix(stamped):
    """The 4x4 matrix of a message."""
    translation, rotation = stamped.transform.translation, stamped.transform.rotation
    result = np.eye(4)
    result[:3, :3] = Rotation.from_quat([rotation.x, rotation.y, rotation.z, rotation.w]).as_matrix()
    result[:3, 3] = translation.x, translation.y, translation.z
    return result


def at(seconds):
    """A time."""
    return Time(nanoseconds=round(seconds * 1e9))


def random_matrix(rng):
    """A rigid transform, any rotation, up to a metre or so."""
    result = np.eye(4)
    result[:3, :3] = Rotation.random(rng=rng).as_matrix()
    result[:3, 3] = rng.normal(size=3)
    return result


def shifted(x):
    """A translation along x."""
    result = np.eye(4)
    result[0, 3] = x
    return result


def put(buffer, parent, child, seconds, transform=None):
    """Set a transform."""
    buffer.set_transform(message(parent, child, seconds, transform), "test")


def put_static(buffer, parent, child, transform=None):
    """Set a static transform."""
    buffer.set_transform_static(message(parent, child, 0.0, transform), "test")


def history(buffer, parent, child, *seconds):
    """A child that moves along its parent's x, 1 m/s."""
    for second in seconds:
        put(buffer, parent, child, second, shifted(second))
