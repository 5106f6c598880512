"""Writes a bag such as the nodes leave behind, of a run whose errors are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from scipy.spatial.transform import Rotation

from deeprs2v_ros.geometry import apply, inverse, rigid
from deeprs2v_ros.imaging.volume import Volume, write_volume

SHAPE, PIXEL = (48, 64), (1.5, 1.5)
PERIOD = 10**8  # ns between images
START = 1_700_000_000 * 10**9
STATUS = "deeprs2v_ros/msg/RegistrationStatus"
TRACKING, LOST = 4, 6
BASE_FROM_VOLUME = rigid(Rotation.from_euler("xyz", [20, -30, 50], degrees=True).as_matrix(), [400.0, -100.0, 300.0])
TARGET = np.array([3.0, 40.0, -2.0])
VOLUME_FROM_IMAGE = rigid(translation=[-47.0, 0.0, 0.0])
RADIUS = 8.0

_STORE = get_typestore(Stores.ROS2_KILTED)
_MESSAGE = Path(__file__).resolve().parents[1] / "msg" / "RegistrationStatus.msg"
_STORE.register(get_types_from_msg(_MESSAGE.read_text(), STATUS))
_T = _STORE.types


@dataclass
class Run:
    """What happens in it. ``error`` (N, 3) mm is how far off the target is looked up, and registered."""

    error: np.ndarray
    displacement: np.ndarray = field(default=None)
    states: list[int] = field(default=None)
    without_status: set[int] = field(default_factory=set)
    with_two: set[int] = field(default_factory=set)
    latency_ms: np.ndarray = field(default=None)
    leave_out: set[str] = field(default_factory=set)

    def __post_init__(self):
        count = len(self.error)
        phase = 2 * np.pi * np.arange(count) / 40
        if self.displacement is None:
            self.displacement = np.outer(7.5 * (1 - np.cos(phase)), [0.0, 0.28, -0.96])
        self.states = self.states or [TRACKING] * count
        if self.latency_ms is None:
            self.latency_ms = np.full(count, 80.0)


def write_bag(bag: Path, run: Run) -> None:
    """Write the bag, and its volume beside it. Displacements and errors are in the volume frame, mm."""
    volume_file = bag.with_suffix(".mha")
    write_volume(volume_file, texture())
    with Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {}

        def put(topic: str, kind: str, at: int, message: object) -> None:
            if topic in run.leave_out:
                return
            if topic not in connections:
                connections[topic] = writer.add_connection(f"/{topic}", kind, typestore=_STORE)
            writer.write(connections[topic], at, _STORE.serialize_cdr(message, kind))

        points = "geometry_msgs/msg/PointStamped"
        put("volume/file", "std_msgs/msg/String", START, _T["std_msgs/msg/String"](str(volume_file)))
        put("volume/markers", "visualization_msgs/msg/MarkerArray", START, _markers())
        put("tf_static", "tf2_msgs/msg/TFMessage", START, _transforms(
            START, ("base_link", "us_volume", BASE_FROM_VOLUME),
            ("us_volume_corrected", "tumor", rigid(translation=TARGET)),
            ("us_volume_predicted", "tumor_predicted", rigid(translation=TARGET))))  # fmt: skip
        for index, (error, moved) in enumerate(zip(run.error, run.displacement, strict=True)):
            stamp = START + index * PERIOD
            latency = run.latency_ms[index]
            published = stamp + round(latency * 1e6)
            for step in range(2):
                put("joint_states", "sensor_msgs/msg/JointState", stamp, _joints(stamp + step * PERIOD // 2))
            frame = np.full(SHAPE, index % 250, np.uint8)
            put("us/image", "sensor_msgs/msg/Image", stamp, _image(stamp, frame))
            put("simulation/target", points, stamp, _point(stamp, TARGET + moved))
            correction = rigid(translation=moved + error)  # C^-1
            state = run.states[index]
            if state == TRACKING:
                put("tf", "tf2_msgs/msg/TFMessage", published, _transforms(
                    stamp, ("us_volume", "us_volume_corrected", correction)))  # fmt: skip
                put("monitor/target", points, published, _point(stamp, TARGET + moved + error))
                put("monitor/target_now", points, published, _point(published, TARGET + moved + error))
                ahead = published - stamp
                carried = run.displacement[index] + (moved - run.displacement[max(index - 1, 0)]) * ahead / PERIOD
                put("monitor/target_predicted", points, published, _point(published, TARGET + carried + error))
            for _ in range((index not in run.without_status) + (index in run.with_two)):
                tracked = rigid(translation=moved) @ VOLUME_FROM_IMAGE
                status = _status(stamp, state, tracked, inverse(correction), latency)
                put("registration/status", STATUS, published, status)


UNCERTAINTY = np.diag([1e-3, 1e-3, 1e-3, 1e-9, 1e-9, 1e-9]) ** 2
"""Of every prediction, m and rad: one millimetre along each axis."""


def texture() -> Volume:
    """A volume of smooth noise about the planes of the run."""
    rng = np.random.default_rng(0)
    array = rng.integers(1, 255, size=(30, 40, 45)).astype(np.uint8)
    return Volume(array, np.array([3.0, 3.0, 3.0]), np.array([-60.0, -20.0, -45.0]), np.eye(3))


def _header(stamp: int, frame: str = "us_image") -> object:
    time = _T["builtin_interfaces/msg/Time"](*divmod(stamp, 10**9))
    return _T["std_msgs/msg/Header"](time, frame)


def _point(stamp: int, in_volume: np.ndarray) -> object:
    point = _T["geometry_msgs/msg/Point"](*(apply(BASE_FROM_VOLUME, in_volume) / 1e3).tolist())
    return _T["geometry_msgs/msg/PointStamped"](_header(stamp, "base_link"), point)


def _joints(stamp: int) -> object:
    empty = np.zeros(0)
    return _T["sensor_msgs/msg/JointState"](_header(stamp, ""), ["j1"], np.zeros(1), empty, empty)


def _image(stamp: int, picture: np.ndarray) -> object:
    colours = picture.ndim == 3
    rows, columns = picture.shape[:2]
    step = columns * (3 if colours else 1)
    encoding = "rgb8" if colours else "mono8"
    return _T["sensor_msgs/msg/Image"](_header(stamp), rows, columns, encoding, 0, step, picture.ravel())


def _quaternion(transform: np.ndarray) -> object:
    return _T["geometry_msgs/msg/Quaternion"](*Rotation.from_matrix(transform[:3, :3]).as_quat().tolist())


def _pose(transform: np.ndarray) -> object:
    position = _T["geometry_msgs/msg/Point"](*(transform[:3, 3] / 1e3).tolist())
    return _T["geometry_msgs/msg/Pose"](position, _quaternion(transform))


def _transforms(stamp: int, *transforms: tuple[str, str, np.ndarray]) -> object:
    messages = []
    for parent, child, transform in transforms:
        translation = _T["geometry_msgs/msg/Vector3"](*(transform[:3, 3] / 1e3).tolist())
        body = _T["geometry_msgs/msg/Transform"](translation, _quaternion(transform))
        messages.append(_T["geometry_msgs/msg/TransformStamped"](_header(stamp, parent), child, body))
    return _T["tf2_msgs/msg/TFMessage"](messages)


def _status(stamp: int, state: int, tracked: np.ndarray, motion: np.ndarray, latency_ms: float) -> object:
    accepted = state == TRACKING
    nan, latency = float("nan"), latency_ms / 1e3
    return _T[STATUS](
        _header(stamp, "us_volume"), False, state, accepted, "" if accepted else "LOW_LNCC",
        _pose(tracked), _pose(motion @ tracked), np.zeros(36), _pose(motion), _pose(np.eye(4)),
        _pose(motion), 0.0, np.zeros(36),
        _T["builtin_interfaces/msg/Time"](*divmod(stamp, 10**9)), _pose(motion), UNCERTAINTY.ravel(), latency, 0.5,
        _T["geometry_msgs/msg/Point"](0.0, 0.0, 0.0),
        0.1, 0.1, 0.5, 0.9, 1.0, 10, 0.01, 0.02, nan, latency, latency,
        0.0 if accepted else nan, True, "volume", "", "",
    )  # fmt: skip


def _markers() -> object:
    duration = _T["builtin_interfaces/msg/Duration"](0, 0)
    colour = _T["std_msgs/msg/ColorRGBA"](1.0, 0.0, 0.0, 1.0)
    size = _T["geometry_msgs/msg/Vector3"](*[2 * RADIUS / 1e3] * 3)
    picture = _T["sensor_msgs/msg/CompressedImage"](_header(0), "", np.zeros(0, np.uint8))
    mesh = _T["visualization_msgs/msg/MeshFile"]("", np.zeros(0, np.uint8))
    marker = _T["visualization_msgs/msg/Marker"](
        _header(0, "us_volume"), "tumor", 0, 2, 0, _pose(np.eye(4)), size, colour, duration, True, [], [], "", picture,
        [], "", "", mesh, False,
    )  # fmt: skip
    return _T["visualization_msgs/msg/MarkerArray"]([marker])
