"""Images with the time and the place at which they were taken."""

from itertools import pairwise
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import rclpy
from bench import overrides
from geometry_msgs.msg import PoseWithCovarianceStamped
from phantoms import IMAGE_FROM_PIXEL, SHAPE, displacement
from rclpy.time import Time
from sensor_msgs.msg import Image
from tf2_ros import Buffer, TransformListener

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.imaging.sequence import Sequence, write_sequence
from deeprs2v_ros.nodes.sources.images import SceneSource, VideoSource
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import image_from_message, nanoseconds, transform_from_message
from deeprs2v_ros.nodes.ultrasound_source import UltrasoundSource

SECOND = 1_000_000_000
"""In nanoseconds."""
POSES = np.stack([displacement((5.0 * k, 0, 3.0 * k, 0, 4.0 * k, 0)) for k in range(4)])


def cart(rate):
    """A cart whose image k is the number k, and whose target is at the time."""
    return SimpleNamespace(
        scene=SimpleNamespace(rate=rate), image=lambda index: index, target_in_base=lambda t: np.full(3, t)
    )


def test_scene_images_are_stamped_with_the_time_they_show():
    source = SceneSource(cart(30.0))
    now = 1_763_800_000 * SECOND + 5
    shown = []
    for _ in range(100):
        frame = source.next(lambda now=now: now)
        assert now < frame.stamp <= now + SECOND // 30 + 1
        assert 0 <= 30 * frame.stamp - frame.image * SECOND < 30
        assert frame.target_in_base == pytest.approx(frame.image / 30.0)
        shown.append(frame.image)
        now = frame.stamp
    assert shown == list(range(shown[0], shown[0] + 100))


def test_scene_images_that_cannot_be_in_time_are_left_out():
    source = SceneSource(cart(10.0))
    assert source.next(lambda: 50 * SECOND).image == 501
    late = 50 * SECOND + 470_000_000
    assert source.next(lambda: late).image == 505


@pytest.fixture
def recording(tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (4, *SHAPE), dtype=np.uint8)
    sequence = Sequence(
        frames, POSES @ IMAGE_FROM_PIXEL, np.array([3.0, 3.05, 3.1, 3.2]), np.array([True, True, False, True])
    )
    path = tmp_path / "frames.igs.mha"
    write_sequence(path, sequence)
    return path, sequence


def settings(**parameters):
    geometry = {"image.rows": SHAPE[0], "image.columns": SHAPE[1], "image.pixel_size": [0.5, 0.5]}
    return overrides(geometry | parameters)


def test_sequence_is_played_with_its_poses_and_at_its_pace(ros, keep, spin_until, recording):
    path, sequence = recording
    hand = keep(rclpy.create_node("hand", context=ros))
    buffer = Buffer(node=hand)
    buffer.listener = TransformListener(buffer, hand)
    received = []
    hand.create_subscription(Image, "us/image", received.append, qos.IMAGES)
    node = keep(UltrasoundSource(context=ros, parameter_overrides=settings(source="sequence", sequence=str(path))))
    spin_until(lambda: len(received) >= 6, node, hand)
    shown = [np.argmax([np.array_equal(image_from_message(m), f) for f in sequence.frames]) for m in received]
    assert shown[:6] == [(shown[0] + k) % 4 for k in range(6)]
    for earlier, later in pairwise(received):
        i, j = (shown[received.index(message)] for message in (earlier, later))
        if j > i:
            gap = nanoseconds(later.header.stamp) - nanoseconds(earlier.header.stamp)
            assert gap == pytest.approx((sequence.timestamps[j] - sequence.timestamps[i]) * SECOND, abs=10)
    for index, message in zip(shown, received, strict=True):
        assert message.header.frame_id == "us_image"
        time = Time.from_msg(message.header.stamp)
        if index != 2:
            spin_until(lambda time=time: buffer.can_transform("us_volume", "us_image", time), node, hand)
            found = transform_from_message(buffer.lookup_transform("us_volume", "us_image", time).transform)
            assert found == pytest.approx(POSES[index], abs=1e-5)


def test_a_sequence_is_not_played_while_an_arm_says_where_images_are(ros, keep, spin_until, recording):
    hand = keep(rclpy.create_node("hand", context=ros))
    arm = hand.create_publisher(PoseWithCovarianceStamped, "arm/image_pose", qos.STATUS)
    spin_until(lambda: hand.count_publishers("arm/image_pose"), hand)
    values = settings(source="sequence", sequence=str(recording[0]))
    node = keep(UltrasoundSource(context=ros, parameter_overrides=values))
    spin_until(lambda: node.trouble, node, hand)
    assert "arm_kinematics broadcasts those of the arm" in node.trouble
    assert node.inflow.good == 0
    hand.destroy_publisher(arm)
    spin_until(lambda: node.inflow.good, node, hand)
    assert not node.trouble


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        ({"image.rows": 181}, "image.rows"),
        ({"image.pixel_size": [0.5, 0.4]}, "image.pixel_size"),
        ({"image.pixel_size": [0.5]}, "image.pixel_size: has 1 numbers"),
        ({"sequence": ""}, "sequence: is empty"),
        ({"source": "camera"}, "not one of scene, sequence, video"),
    ],
)
def test_what_does_not_fit_is_refused(ros, recording, parameters, fault):
    values = {"source": "sequence", "sequence": str(recording[0])} | parameters
    with pytest.raises(InputError, match=fault):
        UltrasoundSource(context=ros, parameter_overrides=settings(**values))


@pytest.fixture
def video(tmp_path):
    """Eight pictures of 96 x 64 pixels, grey on the left and white on the right, with a bar that falls."""
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (96, 64))
    for k in range(8):
        picture = np.full((64, 96, 3), 128, np.uint8)
        picture[:, 48:] = 255
        picture[8 * k : 8 * k + 8] = 0
        writer.write(picture)
    writer.release()
    return str(path)


@pytest.mark.parametrize(
    ("flip", "left", "right"), [("none", 128, 255), ("horizontal", 255, 128), ("vertical", 128, 255)]
)
def test_video_is_cropped_mirrored_and_played_at_its_pace(video, flip, left, right):
    source = VideoSource(video, flip, (40, 16, 16, 48), (48, 16))
    now = [1000 * SECOND]

    def clock():
        now[0] += 1000
        return now[0]

    stamps, bars = [], []
    for _ in range(16):
        frame = source.next(clock)
        now[0] = frame.stamp
        stamps.append(frame.stamp)
        lit = frame.image[frame.image[:, 0] > 64]
        assert lit[:, :6].mean() == pytest.approx(left, abs=8) and lit[:, -6:].mean() == pytest.approx(right, abs=8)
        bars.append(float(np.argmin(frame.image.mean(axis=1))) if len(lit) < 46 else None)
    assert np.diff(stamps) == pytest.approx(np.full(15, SECOND / 20), abs=2000)
    falling = [b - a for a, b in pairwise(bars) if a is not None and b is not None]
    assert np.median(falling) == pytest.approx(-8.0 if flip == "vertical" else 8.0, abs=2.0)


def test_video_of_another_size_is_refused(video, tmp_path):
    with pytest.raises(InputError, match=r"\(64, 96\)"):
        VideoSource(video, "none", (0, 0, 0, 0), (48, 16))
    with pytest.raises(InputError, match=r"video\.device"):
        VideoSource(str(tmp_path / "nothing.avi"), "none", (0, 0, 0, 0), (48, 16))


class Grabber:
    """A frame grabber as OpenCV has it: picture k is of the grey level k. What is on the way when the cable is pulled
    comes out once it is back."""

    def __init__(self, shape=(48, 64)):
        self.shape, self.plugged, self.shown, self.opened, self._kept = shape, True, 0, 0, None

    def open(self, device):
        self.opened += 1
        self._open = self.plugged
        return self

    def isOpened(self):  # noqa: N802 (OpenCV's names)
        return self._open

    def release(self):
        self._open = False

    def get(self, _):
        return 30.0

    def pull(self):
        self.plugged, self._kept = False, self.shown + 1

    def read(self):
        if not (self.plugged and self._open):
            return False, None
        number, self._kept = self._kept, None
        if number is None:
            self.shown += 1
            number = self.shown
        return True, np.full((*self.shape, 3), number, np.uint8)


def levels(source, count, clock=lambda: 5 * SECOND):
    frames = [source.next(clock) for _ in range(count)]
    return [None if frame is None else int(frame.image[0, 0]) for frame in frames]


def test_a_grabber_that_was_unplugged_is_opened_again_and_shows_nothing_of_before():
    grabber = Grabber()
    source = VideoSource("0", "none", (0, 0, 0, 0), (48, 64), grabber.open)
    assert levels(source, 2) == [2, 3] and source.trouble == ""
    grabber.pull()
    assert levels(source, 20) == [None] * 20 and source.trouble == "0: shows no image"
    assert grabber.opened > 10
    grabber.plugged = True
    opened = grabber.opened
    assert levels(source, 3) == [4, 5, 6] and source.trouble == ""
    assert grabber.opened == opened + 1


def test_a_grabber_is_stamped_when_a_picture_has_come():
    now = [SECOND]

    class Slow(Grabber):
        def read(self):
            now[0] += SECOND
            return super().read()

    source = VideoSource("0", "none", (0, 0, 0, 0), (48, 64), Slow().open)
    assert [source.next(lambda: now[0]).stamp for _ in range(3)] == [3 * SECOND, 4 * SECOND, 5 * SECOND]


def test_a_grabber_whose_pictures_change_their_size_is_in_trouble_until_they_change_back():
    grabber = Grabber()
    source = VideoSource("0", "none", (0, 0, 0, 0), (48, 64), grabber.open)
    grabber.shape = (96, 64)
    assert levels(source, 3) == [None] * 3
    assert source.trouble == "0: its images, cropped, have (96, 64) pixels, not (48, 64)"
    grabber.shape = (48, 64)
    assert None not in levels(source, 3) and source.trouble == ""


def test_a_driver_that_fails_shows_no_image():
    class Failing(Grabber):
        def read(self):
            if not self.plugged:
                raise cv2.error("VIDIOC_DQBUF: no such device")
            return super().read()

    grabber = Failing()
    source = VideoSource("0", "none", (0, 0, 0, 0), (48, 64), grabber.open)
    grabber.pull()
    assert levels(source, 2) == [None, None] and source.trouble == "0: shows no image"
    grabber.plugged = True
    assert None not in levels(source, 2)


def test_a_crop_beside_the_picture_is_refused():
    with pytest.raises(InputError, match=r"have \(0, 8\) pixels"):
        VideoSource("0", "horizontal", (0, 500, 8, 8), (8, 8), Grabber().open)


@pytest.mark.parametrize("device", ["99", "/nowhere/video.avi", ""])
def test_a_device_that_is_missing_is_one_line_and_the_node_can_still_be_destroyed(ros, device):
    values = settings(source="video", **{"video.device": device})
    with pytest.raises(InputError, match=r"video\.device: .*cannot be opened") as refused:
        UltrasoundSource(context=ros, parameter_overrides=values)
    places = [entry.frame.f_locals.get("self") for entry in refused.traceback]
    (node,) = {id(place): place for place in places if isinstance(place, UltrasoundSource)}.values()
    node.destroy_node()


def test_the_node_says_what_it_published_and_what_its_trouble_is(ros, keep, spin_until, monkeypatch):
    grabber = Grabber(SHAPE)
    monkeypatch.setattr(cv2, "VideoCapture", grabber.open)
    node = keep(
        UltrasoundSource(context=ros, parameter_overrides=settings(source="video", **{"video.device": "rtsp://"}))
    )
    received = []
    node.create_subscription(Image, "us/image", received.append, qos.IMAGES)
    spin_until(lambda: node.inflow.good > 3 and received, node)
    assert node.trouble == ""
    grabber.pull()
    spin_until(lambda: node.trouble == "rtsp://: shows no image", node)
    count = node.inflow.good
    spin_until(lambda: grabber.opened > 2, node)
    assert node.inflow.good == count
    grabber.plugged = True
    spin_until(lambda: node.inflow.good > count, node)
    assert node.trouble == ""
