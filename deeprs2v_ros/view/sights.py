"""What a status message says of an image, as it is drawn. The message may be of a live node, or of a bag."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, apply, inverse, is_covariance, seen_from, turned_covariance
from deeprs2v_ros.messages import MM, point_of, rigid_from
from deeprs2v_ros.registration.supervisor import State
from deeprs2v_ros.view.pictures import Sight

NO_STATUS = "NO_STATUS"
"""Reason when nothing is said of new images, or none of them come."""


def silent(frame: NDArray[np.uint8]) -> Sight:
    """The last image (rows, columns), of which nobody says anything any more."""
    return Sight(frame, State.LOST, NO_STATUS)


def sight_of(status: Any, frame: NDArray[np.uint8], centre: Array) -> Sight:
    """What ``status`` says of the image ``frame`` (rows, columns), whose centre is ``centre`` (3,) mm in its own frame.

    The plane is where the registration found it; while HOLDING, where the motion on TF puts it; or else where the arm
    says.
    """
    state, reason = State(status.state), status.reason
    predicted = _transform(status.predicted_motion) is not None
    tracked, held = _transform(status.tracked_pose), _transform(status.broadcast_motion)
    if status.accepted:
        plane = _transform(status.pose)
        return Sight(frame, state, reason, plane, plane is not None, _of_pose(status, plane), predicted)
    if state in (State.TRACKING, State.HOLDING) and tracked is not None and held is not None:
        plane = held @ tracked
        return Sight(frame, state, reason, plane, True, _of_motion(status, plane, centre), predicted)
    return Sight(frame, state, reason, tracked)


def _transform(pose: Any) -> Array | None:
    at, turn = pose.position, pose.orientation
    try:
        return rigid_from((at.x, at.y, at.z), (turn.x, turn.y, turn.z, turn.w), "pose")
    except InputError:  # NaN: there is none
        return None


def _of_pose(status: Any, plane: Array | None) -> Array | None:
    """Covariance of the registered plane about the image centre, in image axes."""
    covariance = _millimetres(status.covariance)
    return None if plane is None or covariance is None else turned_covariance(covariance, inverse(plane))


def _of_motion(status: Any, plane: Array, centre: Array) -> Array | None:
    """The same of a plane that the motion on TF has moved: that is told about the middle of the volume, in its axes."""
    covariance = _millimetres(status.broadcast_covariance)
    if covariance is None:
        return None
    moved = seen_from(apply(plane, centre) - point_of(status.middle))
    return turned_covariance(moved @ covariance @ moved.T, inverse(plane))


def _millimetres(numbers: Any) -> Array | None:
    units = np.array([MM] * 3 + [1.0] * 3)
    given = np.reshape(numbers, (6, 6))
    return units[:, None] * given * units if is_covariance(given) else None
