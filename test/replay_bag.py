"""Writes small bags such as `ros2 bag record` makes: images of a breathing phantom, and where the arm held them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
from phantoms import CENTRE, IMAGE_FROM_PIXEL, SHAPE, cut_frame, middle_pose, phantom
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from scipy.spatial.transform import Rotation

from deeprs2v_ros.arm.description import read_arm
from deeprs2v_ros.geometry import about, apply, from_motion, inverse, rigid
from deeprs2v_ros.resources import resource

SECOND = 10**9
START = 1_700_000_000 * SECOND
PERIOD = SECOND // 10  # between images
TICK = SECOND // 40  # between what the arm says
DELAY = SECOND // 1000  # until a message is recorded
VOLUME = phantom("spheres")
POSE = middle_pose(VOLUME)
MIDDLE = apply(POSE, CENTRE)
ARM = read_arm(resource("config/arm/liver.yaml")).holding(SHAPE, IMAGE_FROM_PIXEL)
STORE = get_typestore(Stores.ROS2_KILTED)
STATUS = "deeprs2v_ros/msg/RegistrationStatus"
_DEFINITION = Path(__file__).parent.parent / "msg" / "RegistrationStatus.msg"
STORE.register(get_types_from_msg(_DEFINITION.read_text(), STATUS))
T = STORE.types


def joints_at(time: int) -> dict[str, float]:
    """Joint values at a time: the first joint turns slowly and evenly, as long as the bag lasts."""
    return ARM.rest | {"j1": ARM.rest["j1"] + 0.004 * (time - START) / SECOND}


BASE_FROM_VOLUME = ARM.chain.base_from("us_image", ARM.rest) @ inverse(POSE)


def held_at(time: int) -> np.ndarray:
    """X, volume_from_image, at a time."""
    return inverse(BASE_FROM_VOLUME) @ ARM.chain.base_from("us_image", joints_at(time))


def organ_at(time: int) -> np.ndarray:
    """C at a time: 6 mm in 4 s, so that a plane at X shows what lies at C X."""
    depth = np.sin(np.pi * (time - START) / (4 * SECOND)) ** 2
    return about(MIDDLE, from_motion([5.0 * depth, -2.0 * depth, 2.0 * depth, 0.0, 0.02 * depth, 0.03 * depth]))


def picture_at(time: int) -> np.ndarray:
    """What the ultrasound shows at a time."""
    return cut_frame(VOLUME, organ_at(time) @ held_at(time), seed=time % 1000003)


@dataclass
class Image:
    """One image: when it was taken, recorded and with which stamp; its pixels."""

    time: int
    stamp: int = field(default=None)
    received: int = field(default=None)
    picture: np.ndarray = field(default=None)

    def __post_init__(self):
        self.stamp = self.time if self.stamp is None else self.stamp
        self.received = self.time + DELAY if self.received is None else self.received
        self.picture = picture_at(self.time) if self.picture is None else self.picture


def images(count: int, first: int = 0) -> list[Image]:
    """Images, a period apart and never at a tick of the arm."""
    return [Image(START + TICK // 3 + number * PERIOD) for number in range(first, first + count)]


@dataclass
class Arm:
    """What the arm says, ``until`` shortly after the last image if that is None.

    ``kind`` is tf or joint_states; ``said(time)`` tells whether it is said, ``delay`` when it is recorded.
    """

    kind: str = "tf"
    until: int = None
    delay: int = DELAY
    said: Callable[[int], bool] = lambda time: True


@dataclass
class Told:
    """What the nodes said of an image with ``stamp``, if not how far they came with it: ``reason`` says why.

    ``tracked`` X and ``registered`` Y are (4, 4) mm; None where they never were. ``received`` and ``concluded`` are
    when the image came and when this was said; ``age`` (s) is that of the last accepted image.
    """

    stamp: int
    received: int
    concluded: int
    reason: str
    state: str = "WAITING"
    tracked: np.ndarray = None
    registered: np.ndarray = None
    prior: np.ndarray = None
    followed: bool = False
    age: float = np.nan
    offset: int = 0
    recorded: int = None

    def __post_init__(self):
        self.recorded = self.concluded + DELAY if self.recorded is None else self.recorded


def write(
    bag: Path,
    shown: list[Image],
    arm: Arm | None = None,
    storage: StoragePlugin = StoragePlugin.MCAP,
    zstd: CompressionMode | None = None,
    shift: Callable[[int], int] = lambda received: 0,
    names: dict[str, str] | None = None,
    leave_out: tuple[str, ...] = (),
    target: np.ndarray | None = None,
    told: list[Told] = (),
    also: str = "",
) -> Path:
    """Write a bag with the statuses that the nodes have ``told``.

    ``shift`` is added to the stamps of what was received at a time, ``names`` are other topics, and ``also`` is another
    one with the same images.

    Where the organ carries a ``target`` (3,) of the volume is recorded with every image, if there is one.
    """
    arm = arm or Arm()
    until = arm.until or shown[-1].time + PERIOD
    messages = [
        (
            START,
            "tf_static",
            "tf2_msgs/msg/TFMessage",
            lambda stamp: place_message(stamp, "us_volume", BASE_FROM_VOLUME),
        )
    ]
    for time in range(START, until, TICK):
        if not arm.said(time):
            continue
        if arm.kind == "tf":
            place = BASE_FROM_VOLUME @ held_at(time)
            make = lambda stamp, place=place: place_message(stamp, "us_image", place)  # noqa: E731
            messages.append((time + arm.delay, "tf", "tf2_msgs/msg/TFMessage", make, time))
        else:
            make = lambda stamp, time=time: _joints(stamp, joints_at(time))  # noqa: E731
            messages.append((time + arm.delay, "joint_states", "sensor_msgs/msg/JointState", make, time))
    for each in shown:
        make = lambda stamp, each=each: _image(stamp, each.picture)  # noqa: E731
        topics = ("us/image", also) if also else ("us/image",)
        messages += [(each.received, topic, "sensor_msgs/msg/Image", make, each.stamp) for topic in topics]
    if target is not None:
        fixed = rigid(translation=target)
        make = lambda stamp: place_message(stamp, "tumor", fixed, "us_volume_corrected")  # noqa: E731
        messages.append((START, "tf_static", "tf2_msgs/msg/TFMessage", make))
        for each in shown:
            place = apply(BASE_FROM_VOLUME @ inverse(organ_at(each.time)), target)
            make = lambda stamp, place=place: _point(stamp, place)  # noqa: E731
            messages.append((each.received, "simulation/target", "geometry_msgs/msg/PointStamped", make, each.stamp))
    for each in told:
        message = _status(each)
        messages.append((each.recorded, "registration/status", STATUS, lambda _, message=message: message))
    writer = Writer(bag, version=9, storage_plugin=storage)
    if zstd is not None:
        writer.set_compression(zstd, CompressionFormat.ZSTD)
    with writer:
        connections = {}
        for received, topic, kind, make, *stamp in sorted(messages, key=lambda message: message[0]):
            if topic in leave_out:
                continue
            name = (names or {}).get(topic, topic)
            if name not in connections:
                connections[name] = writer.add_connection(f"/{name}", kind, typestore=STORE)
            at = stamp[0] if stamp else received
            message = make(at + shift(received) if at else 0)
            writer.write(connections[name], received, STORE.serialize_cdr(message, kind))
    return bag


def _header(stamp: int, frame: str) -> object:
    return T["std_msgs/msg/Header"](T["builtin_interfaces/msg/Time"](*divmod(stamp, SECOND)), frame)


def place_message(stamp: int, child: str, base_from_child: np.ndarray, parent: str = "base_link") -> object:
    """A message of TF with one transform."""
    x, y, z = (base_from_child[:3, 3] / 1e3).tolist()
    turn = Rotation.from_matrix(base_from_child[:3, :3]).as_quat().tolist()
    body = T["geometry_msgs/msg/Transform"](
        T["geometry_msgs/msg/Vector3"](x, y, z), T["geometry_msgs/msg/Quaternion"](*turn)
    )
    return T["tf2_msgs/msg/TFMessage"]([T["geometry_msgs/msg/TransformStamped"](_header(stamp, parent), child, body)])


def _point(stamp: int, place: np.ndarray) -> object:
    point = T["geometry_msgs/msg/Point"](*(place / 1e3).tolist())
    return T["geometry_msgs/msg/PointStamped"](_header(stamp, "base_link"), point)


def _joints(stamp: int, joints: dict[str, float]) -> object:
    unit = {name: 1e-3 if ARM.chain.joints[name].kind == "prismatic" else 1.0 for name in joints}
    values = np.array([value * unit[name] for name, value in joints.items()])
    return T["sensor_msgs/msg/JointState"](_header(stamp, ""), list(joints), values, np.zeros(0), np.zeros(0))


def _image(stamp: int, picture: np.ndarray) -> object:
    rows, columns = picture.shape
    return T["sensor_msgs/msg/Image"](_header(stamp, "us_image"), rows, columns, "mono8", 0, columns, picture.ravel())


def _pose(place: np.ndarray | None) -> object:
    numbers = np.full(7, np.nan)
    if place is not None:
        numbers = np.concatenate([place[:3, 3] / 1e3, Rotation.from_matrix(place[:3, :3]).as_quat()])
    x, y, z, *turn = numbers.tolist()
    return T["geometry_msgs/msg/Pose"](T["geometry_msgs/msg/Point"](x, y, z), T["geometry_msgs/msg/Quaternion"](*turn))


def _status(told: Told) -> object:
    """Only what a replay reads is filled in."""
    kind, nan = T[STATUS], float("nan")
    time = T["builtin_interfaces/msg/Time"](*divmod(told.concluded, SECOND))
    since = lambda moment: (moment - told.stamp) / 1e9  # noqa: E731
    from_prior = nan
    if told.registered is not None:
        prior = told.tracked if told.prior is None else told.prior
        from_prior = float(np.linalg.norm(apply(told.registered, CENTRE) - apply(prior, CENTRE)))
    accepted = not told.reason
    filled = {
        "header": _header(told.stamp, "us_volume"),
        "state": getattr(kind, told.state),
        "accepted": accepted,
        "reason": told.reason,
        "without_image": told.reason in ("IMAGE_STALE", "EXPIRED", "RESET"),
        "tracked_pose": _pose(told.tracked),
        "pose": _pose(told.tracked if told.registered is None else told.registered),
        "predicted_at": time,
        "predicted_horizon": since(told.concluded) + told.offset / 1e9 if accepted else nan,
        "prior_distance_mm": from_prior,
        "latency_received": since(told.received),
        "latency_transform": nan if told.tracked is None else since(told.concluded),
        "latency_correction": nan if told.registered is None else since(told.concluded),
        "latency_published": since(told.concluded),
        "correction_age": told.age,
        "followed": told.followed,
        "volume": "" if told.reason in ("STARTING", "FINDING_MASK", "NO_VOLUME") else "volume.mha",
    }
    empty = {
        "geometry_msgs__msg__Pose": _pose(None),
        "geometry_msgs__msg__Point": T["geometry_msgs/msg/Point"](nan, nan, nan),
        "np.ndarray": np.full(36, nan),
        "float": nan,
        "int": 0,
        "str": "",
    }
    for each in fields(kind):
        if each.name not in filled:
            filled[each.name] = next(value for name, value in empty.items() if name in str(each.type))
    return kind(**filled)
