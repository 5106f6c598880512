"""A recording of the running nodes, read from a rosbag2 directory. Lengths in mm, times in ns since the epoch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from deeprs2v_ros.bags import opened
from deeprs2v_ros.demo.latency import done_by
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, rigid

Stamps = NDArray[np.int64]

_POINTS = ("/simulation/target", "/monitor/target", "/monitor/target_now", "/monitor/target_predicted")
_NEEDED = ("/us/image", "/registration/status", "/simulation/target", "/tf_static", "/volume/file", "/volume/markers")
_READ = {*_NEEDED, *_POINTS, "/joint_states", "/tf"}
_MM_PER_M = 1e3
_NS_PER_S = 10**9
_UNITS = np.array([_MM_PER_M] * 3 + [1.0] * 3)


@dataclass(frozen=True)
class Status:
    """What became of one image, or, unless it is ``of_image``, what changed without one.

    ``tracked`` and ``registered`` are X and Y, ``motion`` is C; ``latency`` in ns, ``stages`` as `latency.done_by`.

    ``predicted`` is C at ``predicted_at`` (ns) and ``uncertainty`` (6, 6) the covariance of a small motion of it about
    ``middle`` (3,), the middle of the volume; mm, rad; NaN without a prediction.
    """

    stamp: int
    of_image: bool
    state: str
    accepted: bool
    reason: str
    tracked: Array
    registered: Array
    motion: Array
    latency: float
    stages: tuple[float, ...]
    predicted_at: int
    predicted: Array
    uncertainty: Array
    middle: Array


@dataclass(frozen=True)
class Points:
    """Positions (N, 3) in base_link, mm, at ``stamps`` (N,)."""

    stamps: Stamps
    positions: Array


@dataclass(frozen=True)
class Recording:
    """One run of the nodes.

    ``images`` are the stamps of the ultrasound images and ``images_received`` when they were recorded; ``broadcasts``
    the stamps of the corrections on TF and ``broadcasts_received`` likewise; ``encoders`` the stamps of the joint
    states. ``truth``, ``target`` and ``target_now`` are where the target was, where it was looked up for each image,
    and where it was looked up as the latest known. ``end`` is the time of the last message of all.

    ``target_in_volume`` (3,) is the target's place in the volume and ``target_radius`` its size; ``image_shape`` is
    (rows, columns).
    """

    images: Stamps
    images_received: Stamps
    statuses: tuple[Status, ...]
    broadcasts: Stamps
    broadcasts_received: Stamps
    encoders: Stamps
    truth: Points
    target: Points
    target_now: Points
    target_predicted: Points
    end: int
    base_from_volume: Array
    target_in_volume: Array
    target_radius: float
    volume_file: Path
    image_shape: tuple[int, int]


def read_recording(bag: str | Path) -> Recording:
    """Read the rosbag2 directory ``bag``. Raises InputError, naming it, if it is missing, unreadable or incomplete."""
    found: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    with opened(bag) as recorded:
        for topic, received, message in recorded.messages(_READ):
            found[topic].append((received, message))
        end = recorded.end
    for topic in _NEEDED:
        if not found[topic]:
            raise InputError(f"{bag}: no message on {topic[1:]}")

    fixed = {t.child_frame_id: t.transform for _, m in found["/tf_static"] for t in m.transforms}
    for child in ("us_volume", "tumor"):
        if child not in fixed:
            raise InputError(f"{bag}: no transform of {child} on tf_static")
    images = [(_stamp(message.header), received) for received, message in found["/us/image"]]
    first = found["/us/image"][0][1]
    broadcasts = [
        (_stamp(transform.header), received)
        for received, message in found["/tf"]
        for transform in message.transforms
        if transform.child_frame_id == "us_volume_corrected"
    ]
    truth, target, target_now, target_predicted = (_points(message for _, message in found[topic]) for topic in _POINTS)
    return Recording(
        *_columns(images),
        statuses=tuple(_status(message) for _, message in found["/registration/status"]),
        broadcasts=_columns(broadcasts)[0],
        broadcasts_received=_columns(broadcasts)[1],
        encoders=np.array([_stamp(message.header) for _, message in found["/joint_states"]], dtype=np.int64),
        truth=truth,
        target=target,
        target_now=target_now,
        target_predicted=target_predicted,
        end=end,
        base_from_volume=_matrix(fixed["us_volume"].translation, fixed["us_volume"].rotation),
        target_in_volume=_vector(fixed["tumor"].translation),
        target_radius=_radius(bag, found["/volume/markers"][-1][1].markers),
        volume_file=Path(found["/volume/file"][-1][1].data),
        image_shape=(first.height, first.width),
    )


def _status(message: Any) -> Status:
    # The names of the states are constants of the message, which the bag's own definition knows.
    names = {value: name for name, value in vars(type(message)).items() if name.isupper()}
    poses = (message.tracked_pose, message.pose, message.organ_motion)
    return Status(
        _stamp(message.header),
        not message.without_image,
        names[message.state],
        bool(message.accepted),
        message.reason,
        *(_matrix(pose.position, pose.orientation) for pose in poses),
        latency=message.latency_published * _NS_PER_S,
        stages=done_by(message),
        predicted_at=message.predicted_at.sec * _NS_PER_S + message.predicted_at.nanosec,
        predicted=_matrix(message.predicted_motion.position, message.predicted_motion.orientation),
        uncertainty=_UNITS[:, None] * np.reshape(message.predicted_covariance, (6, 6)) * _UNITS,
        middle=_vector(message.middle),
    )


def _points(messages: Iterable[Any]) -> Points:
    messages = list(messages)
    stamps = np.array([_stamp(message.header) for message in messages], dtype=np.int64)
    return Points(stamps, np.array([_vector(message.point) for message in messages]).reshape(-1, 3))


def _columns(pairs: list[tuple[int, int]]) -> tuple[Stamps, Stamps]:
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _radius(bag: str | Path, markers: list[Any]) -> float:
    for marker in markers:
        if marker.ns == "tumor":
            return marker.scale.x / 2.0 * _MM_PER_M
    raise InputError(f"{bag}: no marker of the target on volume/markers")


def _stamp(header: Any) -> int:
    return header.stamp.sec * _NS_PER_S + header.stamp.nanosec


def _vector(point: Any) -> Array:
    return np.array([point.x, point.y, point.z]) * _MM_PER_M


def _matrix(position: Any, orientation: Any) -> Array:
    quaternion = [orientation.x, orientation.y, orientation.z, orientation.w]
    if not np.isfinite(quaternion).all():  # no such pose: its stage never ran
        return np.full((4, 4), np.nan)
    return rigid(Rotation.from_quat(quaternion).as_matrix(), _vector(position))
