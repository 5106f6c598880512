"""Images through messages and back. Runs against the official cv_bridge as well."""

from array import array

import cv2
import numpy as np
import pytest
from cv_bridge import CvBridge, CvBridgeError
from numpy.testing import assert_array_equal
from sensor_msgs.msg import Image
from std_msgs.msg import Header

TYPES = {
    "mono8": (np.uint8, ()),
    "8UC1": (np.uint8, ()),
    "mono16": (np.uint16, ()),
    "16UC1": (np.uint16, ()),
    "32FC1": (np.float32, ()),
    "bgr8": (np.uint8, (3,)),
    "rgb8": (np.uint8, (3,)),
    "rgba8": (np.uint8, (4,)),
    "bgr16": (np.uint16, (3,)),
    "16SC2": (np.int16, (2,)),
}


@pytest.fixture
def bridge():
    return CvBridge()


def picture(encoding, rows=5, columns=7):
    """Numbers over the whole range of the encoding's type."""
    dtype, channels = TYPES[encoding]
    rng = np.random.default_rng(1)
    if dtype == np.float32:
        return rng.normal(size=(rows, columns)).astype(dtype)
    return rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, (rows, columns, *channels), dtype, endpoint=True)


@pytest.mark.parametrize("encoding", TYPES)
def test_round_trip(bridge, encoding):
    image = picture(encoding)
    message = bridge.cv2_to_imgmsg(image, encoding, header=Header(frame_id="us_image"))
    assert (message.height, message.width, message.encoding) == (5, 7, encoding)
    assert message.step == 7 * image.itemsize * (image.shape[2] if image.ndim == 3 else 1)
    assert message.header.frame_id == "us_image"
    assert isinstance(message.data, array)
    assert message.data.tobytes() == image.tobytes()
    back = bridge.imgmsg_to_cv2(message)
    assert back.dtype == image.dtype
    assert_array_equal(back, image)
    assert_array_equal(bridge.imgmsg_to_cv2(message, encoding), image)


@pytest.mark.parametrize(
    ("encoding", "plain"), [("mono8", "8UC1"), ("mono16", "16UC1"), ("32FC1", "32FC1"), ("bgr8", "8UC3")]
)
def test_passthrough_names_the_type(bridge, encoding, plain):
    assert bridge.cv2_to_imgmsg(picture(encoding)).encoding == plain


@pytest.mark.parametrize("encoding", TYPES)
def test_memory_layout_does_not_matter(bridge, encoding):
    image = picture(encoding, 10, 14)
    for view in (image[::2, 1::3], image[::-1], image.swapaxes(0, 1), np.asfortranarray(image)):
        back = bridge.imgmsg_to_cv2(bridge.cv2_to_imgmsg(view, encoding))
        assert_array_equal(back, view)


@pytest.mark.parametrize("encoding", TYPES)
def test_padded_rows(bridge, encoding):
    image = picture(encoding)
    message = bridge.cv2_to_imgmsg(image, encoding)
    rows = np.frombuffer(message.data, np.uint8).reshape(5, -1)
    pad = 2 * image.itemsize * (image.shape[2] if image.ndim == 3 else 1)
    message.data = array("B", np.pad(rows, ((0, 0), (0, pad)), constant_values=77).tobytes())
    message.step += pad
    assert_array_equal(bridge.imgmsg_to_cv2(message), image)


@pytest.mark.parametrize("encoding", ["mono8", "mono16", "16UC1", "32FC1"])
def test_big_endian_messages_are_not_read(bridge, encoding):
    """The official one needs a method of arrays that NumPy 2 does not have any more."""
    image = picture(encoding)
    message = bridge.cv2_to_imgmsg(image.astype(image.dtype.newbyteorder(">")), encoding)
    assert message.data.tobytes() == image.byteswap().tobytes()
    assert message.is_bigendian == (image.itemsize > 1)
    message.is_bigendian = True
    with pytest.raises(AttributeError, match="newbyteorder"):
        bridge.imgmsg_to_cv2(message)


@pytest.mark.parametrize(
    ("source", "destination", "code"),
    [
        ("bgr8", "rgb8", cv2.COLOR_BGR2RGB),
        ("rgb8", "bgr8", cv2.COLOR_RGB2BGR),
        ("bgr8", "mono8", cv2.COLOR_BGR2GRAY),
        ("rgba8", "mono8", cv2.COLOR_RGBA2GRAY),
        ("rgba8", "bgr8", cv2.COLOR_RGBA2BGR),
        ("bgr16", "mono16", cv2.COLOR_BGR2GRAY),
        ("rgb8", "mono8", cv2.COLOR_RGB2GRAY),
        ("mono8", "bgr8", cv2.COLOR_GRAY2BGR),
        ("mono8", "rgb8", cv2.COLOR_GRAY2RGB),
    ],
)
def test_colours(bridge, source, destination, code):
    image = picture(source)
    message = bridge.cv2_to_imgmsg(image, source)
    assert_array_equal(bridge.imgmsg_to_cv2(message, destination), cv2.cvtColor(image, code))


def test_depths_are_scaled_to_their_full_range(bridge):
    every8 = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert_array_equal(bridge.imgmsg_to_cv2(bridge.cv2_to_imgmsg(every8, "mono8"), "mono16"), every8 * np.uint16(257))
    every16 = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    eight = bridge.imgmsg_to_cv2(bridge.cv2_to_imgmsg(every16, "mono16"), "mono8")
    assert np.abs(eight - every16 / 257.0).max() <= 0.5
    wide = bridge.imgmsg_to_cv2(bridge.cv2_to_imgmsg(every16, "16UC1"), "8UC1")
    assert_array_equal(wide, eight)


def test_colour_and_depth_at_once(bridge):
    colours = picture("bgr8")
    gray = cv2.cvtColor(colours, cv2.COLOR_BGR2GRAY)
    assert_array_equal(bridge.imgmsg_to_cv2(bridge.cv2_to_imgmsg(colours, "bgr8"), "mono16"), gray * np.uint16(257))


def test_plain_numbers_are_rounded_and_clipped(bridge):
    numbers = np.array([[-5.0, 0.4, 0.6, 254.6, 300.0, 1e9]], np.float32)
    clipped = bridge.imgmsg_to_cv2(bridge.cv2_to_imgmsg(numbers), "8UC1")
    assert clipped.tolist() == [[0, 0, 1, 255, 255, 255]]
    raised = bridge.imgmsg_to_cv2(bridge.cv2_to_imgmsg(picture("mono8"), "mono8"), "32FC1")
    assert_array_equal(raised, picture("mono8").astype(np.float32))


@pytest.mark.parametrize(
    ("source", "destination"),
    [("8UC1", "mono8"), ("16UC1", "bgr8"), ("32FC1", "mono8"), ("bgr8", "8UC1"), ("mono8", "8UC3")],
)
def test_conversions_that_make_no_sense(bridge, source, destination):
    message = bridge.cv2_to_imgmsg(picture(source), source)
    with pytest.raises(CvBridgeError, match=rf"\[{source}\]"):
        bridge.imgmsg_to_cv2(message, destination)


@pytest.mark.parametrize(
    ("held", "said"), [("mono8", "bgr8"), ("mono8", "mono16"), ("bgr8", "mono8"), ("32FC1", "16UC1")]
)
def test_encoding_that_the_array_does_not_have(bridge, held, said):
    with pytest.raises(CvBridgeError, match=said):
        bridge.cv2_to_imgmsg(picture(held), said)


def test_unknown_encodings(bridge):
    message = bridge.cv2_to_imgmsg(picture("mono8"), "mono8")
    with pytest.raises(CvBridgeError, match="nonsense"):
        bridge.imgmsg_to_cv2(message, "nonsense")
    with pytest.raises(CvBridgeError, match="nonsense"):
        bridge.cv2_to_imgmsg(picture("mono8"), "nonsense")
    message.encoding = "nonsense"
    with pytest.raises(CvBridgeError, match="nonsense"):
        bridge.imgmsg_to_cv2(message)


def mono8(height, width, step, size):
    message = Image(height=height, width=width, encoding="mono8", step=step)
    message.data = array("B", bytes(size))
    return message


@pytest.mark.parametrize("desired", ["passthrough", "mono8", "bgr8"])
@pytest.mark.parametrize(
    ("message", "fault"),
    [
        (mono8(4, 4, 4, 15), TypeError),
        (mono8(4, 4, 4, 0), TypeError),
        (mono8(4_000_000_000, 4, 4, 16), TypeError),
        (mono8(2**32 - 1, 4, 2**32 - 1, 16), ValueError),
    ],
)
def test_too_little_data(bridge, message, fault, desired):
    with pytest.raises(fault) as raised:
        bridge.imgmsg_to_cv2(message, desired)
    assert not isinstance(raised.value, CvBridgeError)


def test_what_is_wrong_and_yet_read(bridge):
    assert bridge.imgmsg_to_cv2(mono8(4, 4, 4, 17), "mono8").shape == (4, 4)
    assert bridge.imgmsg_to_cv2(mono8(4, 4, 3, 16), "mono8").shape == (4, 3)
    assert bridge.imgmsg_to_cv2(mono8(4, 4, 0, 16)).shape == (4, 0)


def test_nothing_is_not_converted(bridge):
    nothing = mono8(0, 0, 0, 0)
    assert bridge.imgmsg_to_cv2(nothing).shape == (0, 0)
    assert bridge.imgmsg_to_cv2(nothing, "mono8") is None
    with pytest.raises(CvBridgeError):
        bridge.imgmsg_to_cv2(nothing, "bgr8")


def test_what_is_no_array(bridge):
    with pytest.raises(TypeError, match="numpy"):
        bridge.cv2_to_imgmsg([[1, 2], [3, 4]], "mono8")
