"""The faults, as data: what comes instead of each image and each joint state, and what else happens.

An ``images`` or ``joints`` function is given a message and what is known of the fault so far, and says what is sent
instead. ``first`` and ``last`` say, as pairs of a topic and a message, what is sent when it begins and ends, and
``also`` what is sent with every joint state meanwhile. ``around`` is a context of the whole.
"""

from __future__ import annotations

import copy
import math
import os
import signal
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped
from measuring.load import busy
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

from deeprs2v_ros.arm.chain import LinkTransform
from deeprs2v_ros.frames import BASE, VOLUME
from deeprs2v_ros.geometry import Array, rigid
from deeprs2v_ros.nodes.topics.conversions import SECOND, nanoseconds, stamp_message, transform_messages
from trust.judging import Expectation

HOUR = 3600.0
COUNT = 2.0 * math.pi / 4096  # rad: a step of the arm's encoders
HANDS_BACK = 0.5  # s in which a hand brings a still arm back to where the scene wants it
LOADING = 10.0  # s that a volume may take to be read and prepared

SILENT = Expectation()
"""Nothing good comes meanwhile."""
HARMLESS = Expectation(leaves=False)
"""Good data go on coming, or what comes can be used."""
SLIPPED = Expectation(leaves=False, arm_is_off=True)
"""What base_link is to the volume is not true, which no image tells."""
RELOADED = Expectation(returning=LOADING)

Messages = Iterable[tuple[str, Any]]


@dataclass
class Going:
    """A fault that is going on: for how long it has, and how long it still will; what functions remember."""

    place: Place
    elapsed: float = 0.0
    left: float = 0.0
    began: int = 0
    kept: deque[Any] = field(default_factory=deque)
    still: JointState | None = None
    number: int = 0


@dataclass(frozen=True)
class Place:
    """What faults need to know of where they happen: processes, files, where the volume is, other patients' images."""

    source: int
    volume: str
    corrupt_volume: str
    other_volume: str
    base_from_volume: Array
    others: Array


def same(message: Any, going: Going) -> Iterable[Any]:
    """What was sent."""
    yield message


def nothing(*_: Any) -> Iterable[Any]:
    """Nothing at all."""
    return ()


@dataclass(frozen=True)
class Fault:
    """One row of the table."""

    name: str
    images: Callable[[Image, Going], Iterable[Image]] = same
    joints: Callable[[JointState, Going], Iterable[JointState]] = same
    first: Callable[[Going], Messages] = nothing
    also: Callable[[Going], Messages] = nothing
    last: Callable[[Going], Messages] = nothing
    around: Callable[[Place], AbstractContextManager[None]] = lambda place: nullcontext()
    seconds: float = 2.5
    expected: Expectation = SILENT


# --- Stamps ---


def stamped(change: Callable[[int], int]) -> Callable[[Any, Going], Iterable[Any]]:
    """With another stamp, in ns."""

    def restamp(message: Any, going: Going) -> Iterable[Any]:
        message.header.stamp = stamp_message(change(nanoseconds(message.header.stamp)))
        yield message

    return restamp


def ahead(seconds: float) -> Callable[[Any, Going], Iterable[Any]]:
    """Stamped so much later."""
    return stamped(lambda stamp: stamp + round(seconds * SECOND))


def again(image: Image, going: Going) -> Iterable[Image]:
    """The first one over and over."""
    going.kept = going.kept or deque([image])
    yield going.kept[0]


def swapped(image: Image, going: Going) -> Iterable[Image]:
    """Every second one before the one before it."""
    going.kept.append(image)
    while len(going.kept) == 2:
        yield going.kept.pop()
        yield going.kept.pop()


def twins(image: Image, going: Going) -> Iterable[Image]:
    """Each followed by its mirror image with the same stamp."""
    yield image
    yield pictured(lambda picture, _: picture[:, ::-1])(copy.copy(image), going)


def delayed(seconds: float, *, stamped_anew: bool = False) -> Callable[[Image, Going], Iterable[Image]]:
    """Each so much later."""

    def delay(image: Image, going: Going) -> Iterable[Image]:
        going.kept.append(image)
        now = copy.copy(image.header.stamp)
        while nanoseconds(now) - nanoseconds(going.kept[0].header.stamp) >= seconds * SECOND:
            late = going.kept.popleft()
            if stamped_anew:
                late.header.stamp = now
            yield late

    return delay


def once(change: Callable[[Any, Going], Iterable[Any]]) -> Callable[[Any, Going], Iterable[Any]]:
    """Only the first one is changed."""

    def change_first(message: Any, going: Going) -> Iterable[Any]:
        going.number += 1
        return change(message, going) if going.number == 1 else same(message, going)

    return change_first


# --- Pictures ---


def pictured(change: Callable[[Array, Going], Array]) -> Callable[[Image, Going], Any]:
    """Another picture (rows, columns) or (rows, columns, 3) with the same stamp."""

    def draw(image: Image, going: Going) -> Image:
        return with_picture(image, change(picture_of(image), going))

    return draw


def only(make: Callable[[Image, Going], Image]) -> Callable[[Image, Going], Iterable[Image]]:
    """One image for one."""
    return lambda image, going: (make(image, going),)


def picture_of(image: Image) -> Array:
    """The picture of a mono8 image."""
    return np.frombuffer(image.data, np.uint8).reshape(image.height, image.width)


def with_picture(image: Image, picture: Array) -> Image:
    """``image`` with another ``picture`` of whatever size; 16 bits and colours are told from the array."""
    picture = np.ascontiguousarray(picture)
    image.height, image.width = picture.shape[:2]
    image.step = picture.strides[0]
    image.encoding = "mono16" if picture.dtype == np.uint16 else ("mono8" if picture.ndim == 2 else image.encoding)
    image.data = array("B", picture.tobytes())
    return image


def shows(change: Callable[[Array, Going], Array]) -> Callable[[Image, Going], Iterable[Image]]:
    """Images with another picture."""
    return only(pictured(change))


def frozen(picture: Array, going: Going) -> Array:
    """The first picture for ever."""
    if not going.kept:
        going.kept.append(picture)
    return going.kept[0]


def noise(picture: Array, going: Going) -> Array:
    """No tissue at all."""
    going.number += 1
    return np.random.default_rng(going.number).integers(0, 256, picture.shape, dtype=np.uint8)


def half_black(picture: Array, going: Going) -> Array:
    """The left half is black."""
    return np.where(np.arange(picture.shape[1]) < picture.shape[1] // 2, 0, picture).astype(np.uint8)


def another_patient(picture: Array, going: Going) -> Array:
    """Of somebody else."""
    going.number += 1
    return going.place.others[going.number % len(going.place.others)]


def with_fields(**fields: Any) -> Callable[[Image, Going], Iterable[Image]]:
    """With other values in the fields of the message."""

    def fill(image: Image, going: Going) -> Image:
        for name, value in fields.items():
            setattr(image, name, value)
        return image

    return only(fill)


def cut(image: Image, going: Going) -> Image:
    """Without the second half of its data."""
    image.data = image.data[: len(image.data) // 2]
    return image


def coloured(encoding: str) -> Callable[[Image, Going], Iterable[Image]]:
    """Grey as a colour image."""

    def colour(image: Image, going: Going) -> Image:
        image.encoding = encoding
        return with_picture(image, np.repeat(picture_of(image)[:, :, None], 3, axis=2))

    return only(colour)


# --- Joints ---


def joint(number: int, change: Callable[[float, int], float]) -> Callable[[JointState, Going], Iterable[JointState]]:
    """Another value of one joint; ``change`` is given the right one and the number of the sample."""

    def move(message: JointState, going: Going) -> Iterable[JointState]:
        going.number += 1
        message.position[number] = change(message.position[number], going.number)
        yield message

    return move


def still(message: JointState, going: Going) -> Iterable[JointState]:
    """The arm stands still; at the end a hand brings it back to where the scene has gone meanwhile."""
    going.still = going.still or copy.deepcopy(message)
    share = min(going.left / HANDS_BACK, 1.0)
    share = share * share * (3.0 - 2.0 * share)
    kept = np.array(going.still.position)
    message.position = (share * kept + (1.0 - share) * np.array(message.position)).tolist()
    yield message


def without_last(message: JointState, going: Going) -> Iterable[JointState]:
    """One joint is missing."""
    message.name, message.position = message.name[1:], message.position[1:]
    yield message


def joints_again(message: JointState, going: Going) -> Iterable[JointState]:
    """The first one over and over."""
    going.still = going.still or message
    yield going.still


# --- Other topics ---


def arm_pose(**given: float) -> Callable[[Going], Messages]:
    """``arm/image_pose`` from somebody else: numbers for x, quaternion's w and variance."""

    def say(going: Going) -> Messages:
        message = PoseWithCovarianceStamped()
        message.header.frame_id, message.header.stamp = BASE, stamp_message(going.began)
        message.pose.pose.position.x = given.get("x", 0.0)
        message.pose.pose.orientation.w = given.get("w", 1.0)
        message.pose.covariance = (given.get("variance", 1e-6) * np.eye(6)).ravel()
        yield "arm/image_pose", message

    return say


def foreign_transform(parent: str, child: str, x: float, ahead: float = 0.0) -> Callable[[Going], Messages]:
    """A transform of the arm from somebody else, in m; stamped when the fault began and ``ahead`` s later."""

    def say(going: Going) -> Messages:
        message = TransformStamped(child_frame_id=child)
        message.header.frame_id = parent
        message.header.stamp = stamp_message(going.began + round((going.elapsed + ahead) * SECOND))
        message.transform.translation.x = x
        message.transform.rotation.w = 1.0
        yield "/tf", TFMessage(transforms=[message])

    return say


def volume_file(name: str) -> Callable[[Going], Messages]:
    """Another volume is in use."""
    return lambda going: (("volume/file", String(data=getattr(going.place, name) if name else "")),)


def volume_place(metres: float) -> Callable[[Going], Messages]:
    """The volume is said to have been acquired so far beside where it was."""

    def say(going: Going) -> Messages:
        moved = rigid(translation=(1e3 * metres, 0.0, 0.0)) @ going.place.base_from_volume
        stamp = stamp_message(going.began)
        yield "/tf_static", TFMessage(transforms=transform_messages([LinkTransform(BASE, VOLUME, moved)], stamp))

    return say


@contextmanager
def stopped_source(place: Place) -> Iterator[None]:
    """The process of the images stands still."""
    os.kill(place.source, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(place.source, signal.SIGCONT)


FAULTS = (
    Fault("nothing at all", expected=HARMLESS),
    Fault("images stop", images=nothing),
    Fault("source stopped by a signal", around=stopped_source),
    Fault("duplicates", images=again, seconds=4.0),
    Fault("stamps an hour ahead", images=ahead(HOUR)),
    Fault("one stamp an hour ahead", images=once(ahead(HOUR)), expected=HARMLESS),
    Fault("stamps an hour behind", images=ahead(-HOUR)),
    Fault("stamps a second behind", images=ahead(-1.0)),
    Fault("stamps of zero", images=stamped(lambda stamp: 0)),
    Fault("every second image out of order", images=swapped, expected=HARMLESS),
    Fault("two images with one stamp", images=twins, expected=HARMLESS),
    Fault("images a second late", images=delayed(1.0)),
    Fault("images a second late, stamped on arrival", images=delayed(1.0, stamped_anew=True)),
    Fault("frozen picture, arm still", images=shows(frozen), joints=still),
    Fault("frozen picture, arm moving", images=shows(frozen)),
    Fault("black images", images=shows(lambda picture, _: np.zeros_like(picture))),
    Fault("white images", images=shows(lambda picture, _: np.full_like(picture, 255))),
    Fault("noise", images=shows(noise)),
    Fault("left half black", images=shows(half_black), expected=HARMLESS),
    Fault("mirrored images", images=shows(lambda picture, _: picture[:, ::-1])),
    Fault("images upside down", images=shows(lambda picture, _: picture[::-1])),
    Fault("inverted grey levels", images=shows(lambda picture, _: 255 - picture)),
    Fault("another patient's images", images=shows(another_patient)),
    Fault("truncated images", images=only(cut)),
    Fault("images without data", images=with_fields(data=array("B"))),
    Fault("images of no size", images=with_fields(height=0, width=0, step=0, data=array("B"))),
    Fault("images of an absurd size", images=with_fields(height=2**32 - 1, width=2**32 - 1)),
    Fault("images of half the size", images=shows(lambda picture, _: picture[::2, ::2])),
    Fault("images of twice the size", images=shows(lambda picture, _: picture.repeat(2, 0).repeat(2, 1))),
    Fault("encoding rgb8", images=coloured("rgb8"), expected=HARMLESS),
    Fault("encoding bgr8", images=coloured("bgr8"), expected=HARMLESS),
    Fault("encoding mono16", images=shows(lambda picture, _: picture.astype(np.uint16) * 257), expected=HARMLESS),
    Fault("encoding that does not exist", images=with_fields(encoding="grey")),
    Fault("encoding 32FC1 on mono8 data", images=with_fields(encoding="32FC1")),
    Fault("joint states stop", joints=nothing),
    Fault("joint states over and over", joints=joints_again),
    Fault("joint states an hour ahead", joints=ahead(HOUR)),
    Fault("one joint state an hour ahead", joints=once(ahead(HOUR)), expected=HARMLESS),
    Fault("joint states an hour behind", joints=ahead(-HOUR)),
    Fault("joint states with stamps of zero", joints=stamped(lambda stamp: 0)),
    Fault("a joint is NaN", joints=joint(1, lambda right, _: math.nan)),
    Fault("one joint is NaN once", joints=once(joint(1, lambda right, _: math.nan)), expected=HARMLESS),
    Fault("a joint is infinite", joints=joint(1, lambda right, _: math.inf)),
    Fault("a joint out of limits", joints=joint(2, lambda right, _: 2.0)),
    Fault(
        "every second joint state faster than possible",
        joints=joint(0, lambda right, number: right + 0.3 * (number % 2)),
        expected=HARMLESS,
    ),
    Fault("a joint jumps, and back", joints=joint(0, lambda right, _: right + 0.2)),
    Fault("a joint is missing", joints=without_last),
    Fault("an encoder slips by 3 counts", joints=joint(0, lambda right, _: right + 3 * COUNT), expected=SLIPPED),
    Fault("an encoder slips by 20 counts", joints=joint(0, lambda right, _: right + 20 * COUNT), expected=SLIPPED),
    Fault("arm/image_pose: covariance NaN", also=arm_pose(variance=math.nan), expected=HARMLESS),
    Fault("arm/image_pose: pose NaN", also=arm_pose(x=math.nan), expected=HARMLESS),
    Fault("arm/image_pose: no quaternion", also=arm_pose(w=0.0), expected=HARMLESS),
    Fault("arm/image_pose: a variance of 1 m^2", also=arm_pose(variance=1.0), expected=HARMLESS),
    Fault("TF: us_probe is NaN", also=foreign_transform("scanner", "us_probe", math.nan), expected=HARMLESS),
    Fault("TF: us_probe half a metre off", also=foreign_transform("scanner", "us_probe", 0.5), expected=HARMLESS),
    Fault(
        "TF: us_probe once, an hour ahead", first=foreign_transform("scanner", "us_probe", 0.5, HOUR), expected=HARMLESS
    ),
    Fault("TF: us_image from another parent", also=foreign_transform("map", "us_image", 0.5), expected=HARMLESS),
    Fault("the volume's place moved by 30 mm", first=volume_place(0.03), last=volume_place(0.0), expected=SLIPPED),
    Fault("a corrupt volume", first=volume_file("corrupt_volume"), last=volume_file("volume"), expected=RELOADED),
    Fault(
        "another volume", first=volume_file("other_volume"), last=volume_file("volume"), expected=RELOADED, seconds=6.0
    ),
    Fault("the volume withdrawn", first=volume_file(""), last=volume_file("volume"), expected=RELOADED),
    Fault("4 busy processes", around=lambda place: busy(4), seconds=3.0, expected=HARMLESS),
)
