"""The table of failures, injected into a running registration through its topics; each test has the name of its row.

Rows that need nothing but one image are in test_registration_node.py, those of the arm and of the sources in theirs.
"""

from time import monotonic

import numpy as np
import pytest
from bench import ORGAN, POSE, VOLUME_IMAGE, black, overrides
from geometry_msgs.msg import PoseWithCovarianceStamped
from phantoms import CENTRE, SHAPE, cut_frame, fan, phantom
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import String

from deeprs2v_ros.arm.chain import LinkTransform
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import apply, inverse, rigid
from deeprs2v_ros.imaging.volume import write_volume
from deeprs2v_ros.msg import RegistrationStatus as Status
from deeprs2v_ros.nodes.registration import RegistrationNode
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import image_message, nanoseconds, stamp_message

SECOND = 1_000_000_000
SHOWN = (Status.TRACKING, Status.HOLDING)
WRONG = 5.0  # mm


def never_wrong(bench):
    """Nothing was ever broadcast that puts the middle of the picture elsewhere than where its tissue is."""
    tissue = apply(POSE @ ORGAN, CENTRE)
    for _, volume_from_corrected in bench.corrections:
        assert np.linalg.norm(apply(volume_from_corrected, tissue) - apply(POSE, CENTRE)) < WRONG


def ends(bench, fault, seconds=5.0):
    """Faults one after the other until the state that was said last is neither TRACKING nor HOLDING."""
    deadline = monotonic() + seconds
    since = bench.corrections[-1][0]
    while bench.statuses[-1].state in SHOWN:
        assert monotonic() < deadline, bench.statuses[-1]
        fault()
        bench.until(lambda: True)
    # Nothing more is broadcast, whatever comes.
    corrections = len(bench.corrections)
    for _ in range(3):
        fault()
        bench.until(lambda: True)
    assert bench.statuses[-1].state not in SHOWN
    assert len(bench.corrections) == corrections
    assert bench.corrections[-1][0] <= since + 0.6 * SECOND


def recovers(bench):
    """Good images again: not more than are needed to be sure of them."""
    count = len(bench.statuses)
    bench.until_tracking()
    images = [s for s in bench.statuses[count:] if s.reason not in ("EXPIRED", "IMAGE_STALE")]
    assert len(images) <= 5, [s.reason for s in images]
    never_wrong(bench)


def refused_stamps(bench):
    first, last = bench.now() - 10 * SECOND, nanoseconds(bench.statuses[-1].header.stamp)
    return {
        "duplicates": lambda: last,
        "out of order": lambda: first,
        "zero": lambda: 0,
        "far future": lambda: bench.now() + 60 * SECOND,
    }


@pytest.mark.parametrize("kind", ["duplicates", "out of order", "zero", "far future"])
def test_refused_images_keep_coming_and_keep_nothing_alive(bench, kind):
    bench.until_tracking()
    stamp = refused_stamps(bench)[kind]

    def fault():
        count = len(bench.statuses)
        bench.send_image(stamp())
        bench.until(lambda: bench.answers(count))

    ends(bench, fault)
    recovers(bench)


def broken_images():
    """Messages that are no image of ours, by what is wrong with them."""
    height, width = SHAPE
    whole = bytes(height * width)

    def image(data=whole, **fields):
        message = Image(**({"encoding": "mono8", "height": height, "width": width, "step": width} | fields))
        message.data.frombytes(data)
        return message

    return {
        "truncated": image(data=whole[: len(whole) // 2]),
        "empty": Image(),
        "of another size": image_message(np.zeros((10, 10), np.uint8), "mono8", "us_image", stamp_message(0)),
        "of an unknown encoding": image(encoding="rubbish"),
        "of an encoding that needs more bytes": image(encoding="rgb8"),
        "with rows that overlap": image(step=1),
        "too large": image(height=2**32 - 1, width=2**32 - 1, step=2**32 - 1),
        "without width": image(width=0),
        "big-endian": image(encoding="mono16", is_bigendian=1, step=2 * width),
    }


@pytest.mark.parametrize("kind", broken_images())
def test_images_that_cannot_be_used_keep_nothing_alive(bench, kind):
    bench.until_tracking()
    message = broken_images()[kind]

    def fault():
        count, stamp = len(bench.statuses), bench.now()
        bench.send_pose(stamp)
        message.header.stamp = stamp_message(stamp)
        bench.publish(message)
        bench.until(lambda: bench.answers(count))
        assert bench.answers(count)[0].reason in ("UNREADABLE", "WRONG_SIZE", "EXPIRED")

    ends(bench, fault)
    recovers(bench)


def test_images_that_change_encoding_are_registered_as_before(bench):
    bench.until_tracking()
    for encoding in ("mono8", "rgb8", "bgr8", "mono8"):
        stamp, count = bench.now(), len(bench.statuses)
        picture = bench.picture()
        pixels = picture if encoding == "mono8" else np.repeat(picture[..., None], 3, axis=2)
        bench.send_pose(stamp)
        bench.publish(image_message(pixels, encoding, "us_image", stamp_message(stamp)))
        bench.until(lambda count=count: bench.answers(count))
        assert bench.answers(count)[0].accepted, encoding
    never_wrong(bench)


def test_two_images_with_one_stamp_are_one_measurement(bench):
    bench.until_tracking()
    stamp = bench.now()
    assert bench.show(stamp).accepted
    second = bench.show(stamp, picture=black())
    assert (second.reason, second.accepted) == ("DUPLICATE", False)
    assert bench.show().accepted
    never_wrong(bench)


def test_images_stop_and_what_was_tracked_expires(bench):
    bench.until_tracking()
    corrections, count = len(bench.corrections), len(bench.statuses)
    bench.until(lambda: bench.statuses[-1].reason == "IMAGE_STALE")
    expired, stale = bench.statuses[count:]
    assert (expired.reason, expired.state, expired.accepted) == ("EXPIRED", Status.LOST, False)
    assert nanoseconds(expired.header.stamp) - nanoseconds(bench.statuses[count - 1].header.stamp) < 0.7 * SECOND
    assert (stale.state, stale.accepted) == (Status.LOST, False)
    assert len(bench.corrections) == corrections
    recovers(bench)


def test_a_frozen_picture_is_said_and_never_a_new_measurement(bench):
    bench.until_tracking()
    picture = bench.picture()
    assert bench.show(picture=picture).accepted
    frozen = bench.show(picture=picture)
    assert (frozen.reason, frozen.accepted) == ("FROZEN", False) and frozen.correction_age > 0.0

    def fault():
        assert bench.show(picture=picture).reason in ("FROZEN", "EXPIRED")

    ends(bench, fault)
    recovers(bench)


def test_a_frozen_picture_beside_a_clock_that_runs_is_no_new_measurement(bench):
    bench.until_tracking()
    picture = bench.picture()
    assert bench.show(picture=picture).accepted

    def fault():
        later = picture.copy()
        later[~fan()] = bench.now() // 1_000_000 % 256
        assert bench.show(picture=later).reason in ("FROZEN", "EXPIRED")

    ends(bench, fault)
    recovers(bench)


def test_transforms_stop(bench):
    bench.until_tracking()

    def fault():
        count = len(bench.statuses)
        bench.send_image(bench.now())
        bench.until(lambda: bench.answers(count))

    ends(bench, fault)
    recovers(bench)


def test_a_transform_that_jumps_is_not_taken_for_the_organs_motion(bench):
    """A slipped encoder: the arm says that the probe is elsewhere, and the tumour would be shown elsewhere with it."""
    bench.until_tracking()
    elsewhere = POSE.copy()
    elsewhere[:3, 3] += (60.0, 40.0, 0.0)

    def fault():
        assert not bench.show(pose=elsewhere, picture=bench.picture()).accepted

    ends(bench, fault)
    count = len(bench.statuses)
    bench.show_until(lambda status: status.reason == "IMPLAUSIBLE_JUMP", pose=elsewhere, picture=bench.picture())
    assert not any(status.accepted for status in bench.statuses[count:])
    recovers(bench)


def test_transforms_that_are_none_drop_the_image(bench):
    bench.until_tracking()
    broken = POSE.copy()
    broken[:3, 3] = np.nan

    def fault():
        assert bench.show(pose=broken, picture=bench.picture()).reason in ("NO_TRANSFORM", "EXPIRED")

    ends(bench, fault)
    recovers(bench)


def poses_that_are_none():
    """Messages of the arm that say nothing, by what is wrong with them."""
    nan = PoseWithCovarianceStamped()
    nan.pose.covariance = np.full(36, np.nan)
    infinite = PoseWithCovarianceStamped()
    infinite.pose.pose.position.x = float("inf")
    turned = PoseWithCovarianceStamped()
    turned.pose.pose.orientation.w = 0.0
    negative = PoseWithCovarianceStamped()
    negative.pose.covariance = -np.eye(6).ravel()
    lopsided = PoseWithCovarianceStamped()
    lopsided.pose.covariance = np.arange(36.0)
    elsewhere = PoseWithCovarianceStamped()
    elsewhere.header.frame_id = "camera"
    for message in (nan, infinite, turned, negative, lopsided):
        message.header.frame_id = "base_link"
    return {
        "in another frame": elsewhere,
        "NaN": nan,
        "infinite": infinite,
        "no rotation": turned,
        "negative": negative,
        "lopsided": lopsided,
    }


@pytest.mark.parametrize("kind", poses_that_are_none())
def test_what_the_arm_says_of_its_pose_is_refused_and_counted_if_it_is_none(bench, kind):
    bench.until_tracking()
    publisher = bench.hand.create_publisher(PoseWithCovarianceStamped, "arm/image_pose", qos.STATUS)
    bench.until(lambda: publisher.get_subscription_count() == 1)
    publisher.publish(poses_that_are_none()[kind])
    bench.until(lambda: bench.node._plane.inflow.refused.total() == 1)
    assert bench.show().accepted
    never_wrong(bench)


@pytest.mark.parametrize("path", ["", "/nowhere.mha", "\x00", "/dev/zero", "/proc/self/mem", "a" * 5000])
def test_volumes_that_are_none_leave_nothing_to_show(bench, path):
    bench.until_tracking()
    bench.hand.create_publisher(String, "volume/file", qos.LATCHED).publish(String(data=path))
    bench.until(lambda: bench.statuses[-1].reason == "NEW_VOLUME")
    corrections = len(bench.corrections)
    bench.show_until(lambda status: status.reason == "NO_VOLUME")
    assert bench.statuses[-1].state == Status.WAITING and len(bench.corrections) == corrections
    bench.send_volume()
    bench.until_ready()
    bench.until_tracking()
    never_wrong(bench)


@pytest.mark.parametrize("change", ["volume", "place", "tumour"])
def test_what_changes_while_an_image_is_registered_discards_its_result(make_bench, monkeypatch, tmp_path, change):
    bench = make_bench()
    bench.send_fixed(LinkTransform("base_link", "us_volume", rigid()))
    bench.send_fixed(LinkTransform("us_volume_corrected", "tumor", rigid()))
    bench.send_volume()
    bench.until_ready()
    bench.until_tracking()
    other = tmp_path / "other.mha"
    write_volume(other, phantom("texture", seed=1))
    tracker = bench.node._guidance._preparation.ready.tracker
    register = tracker.register_frame
    begun, changed = [], []

    def slowly(*arguments):
        result = register(*arguments)
        begun.append(arguments)
        deadline = monotonic() + 10.0
        while not changed and monotonic() < deadline:
            pass
        return result

    monkeypatch.setattr(tracker, "register_frame", slowly)
    stamp, corrections = bench.now(), len(bench.corrections)
    bench.send_pose(stamp)
    bench.send_image(stamp)
    bench.until(lambda: begun)
    if change == "volume":
        bench.send_volume(other)
    else:
        frames = ("base_link", "us_volume") if change == "place" else ("us_volume_corrected", "tumor")
        bench.send_fixed(LinkTransform(*frames, rigid(translation=(0.0, 30.0, 0.0))))
    reason = "NEW_VOLUME" if change == "volume" else "MOVED_VOLUME"
    bench.until(lambda: bench.statuses[-1].reason == reason)
    changed.append(True)
    bench.until(lambda: nanoseconds(bench.statuses[-1].header.stamp) == stamp)
    discarded = bench.statuses[-1]
    assert (discarded.reason, discarded.accepted, discarded.state) == (reason, False, Status.WAITING)
    assert len(bench.corrections) == corrections


def test_compute_slower_than_images_registers_the_newest(bench, monkeypatch):
    bench.until_tracking()
    tracker = bench.node._guidance._preparation.ready.tracker
    register, begun, go_on = tracker.register_frame, [], []

    def slowly(*arguments):
        begun.append(arguments)
        deadline = monotonic() + 10.0
        while not go_on and monotonic() < deadline:
            pass
        return register(*arguments)

    monkeypatch.setattr(tracker, "register_frame", slowly)
    count = len(bench.statuses)
    stamps = [bench.now()]
    bench.send_pose(stamps[0])
    bench.send_image(stamps[0])
    bench.until(lambda: begun)
    for _ in range(5):
        stamps.append(bench.now())
        bench.send_pose(stamps[-1])
        bench.send_image(stamps[-1])
    bench.until(lambda: sum(s.reason == "SUPERSEDED" for s in bench.statuses[count:]) == 4)
    go_on.append(True)

    def images():
        return {nanoseconds(s.header.stamp): s for s in bench.statuses[count:] if nanoseconds(s.header.stamp) in stamps}

    bench.until(lambda: len(images()) == len(stamps))
    assert [stamp for stamp in stamps if images()[stamp].reason == "SUPERSEDED"] == stamps[1:-1]
    assert images()[stamps[-1]].accepted
    never_wrong(bench)


def test_device_lost_is_a_fault_with_its_reason_and_shows_nothing(bench, monkeypatch):
    bench.until_tracking()

    def lost(*_):
        raise RuntimeError("CUDA error: device lost")

    monkeypatch.setattr(bench.node._guidance._preparation.ready.tracker, "register_frame", lost)
    corrections = len(bench.corrections)
    status = bench.show()
    assert status.state == Status.FAULT and "device lost" in status.reason
    bench.show()
    assert len(bench.corrections) == corrections


def test_the_clock_of_a_recording_jumps_back(make_bench):
    """A bag that loops: the same stamps come again, and nothing of the first time counts."""
    bench = make_bench(use_sim_time=True)
    clock = bench.hand.create_publisher(Clock, "/clock", 10)
    bench.until(lambda: clock.get_subscription_count() >= 1)
    bench.send_volume()
    time = [1000 * SECOND]

    def play(count, start=None):
        """Images at 20 per second of the clock; their statuses."""
        time[0] = time[0] if start is None else start
        for _ in range(count):
            time[0] += SECOND // 20
            clock.publish(Clock(clock=stamp_message(time[0])))
            bench.until(lambda: bench.node.get_clock().now().nanoseconds == time[0])
            yield bench.show(time[0])

    for status in play(400):
        if status.state == Status.TRACKING:
            break
    assert status.state == Status.TRACKING
    first = len(bench.corrections)
    count = len(bench.statuses)
    stamps = [900 * SECOND + k * SECOND // 20 for k in range(1, 5)]
    list(play(4, start=900 * SECOND))
    bench.until(lambda: nanoseconds(bench.statuses[-1].header.stamp) == stamps[-1])
    again = [s for s in bench.statuses[count:] if s.reason in ("CONFIRMING", "")]
    assert [nanoseconds(s.header.stamp) for s in again] == stamps
    assert [s.state for s in again] == [Status.INITIALISING, Status.INITIALISING, Status.TRACKING, Status.TRACKING]
    assert all(stamp <= time[0] for stamp, _ in bench.corrections[first:])
    never_wrong(bench)


def test_a_late_joiner_hears_the_state_with_the_next_image(bench, keep, ros):
    import rclpy

    bench.until_tracking()
    late, heard = keep(rclpy.create_node("late", context=ros)), []
    late.create_subscription(Status, "registration/status", heard.append, qos.STATUS)
    bench.until(lambda: late.count_publishers("registration/status") == 1)
    bench._spin_until(lambda: bench.show() and heard, bench.node, bench.hand, late)
    assert heard[-1].state == Status.TRACKING
    assert np.allclose(
        np.array(heard[-1].broadcast_covariance).reshape(6, 6),
        np.transpose(np.array(heard[-1].broadcast_covariance).reshape(6, 6)),
    )


def test_a_node_that_is_killed_and_started_again_tracks_again(bench, ros, keep):
    bench.until_tracking()
    bench.restart()
    bench.until_ready()
    assert bench.statuses[-1].state == Status.INITIALISING
    bench.until_tracking()
    never_wrong(bench)


@pytest.mark.parametrize("kind", ["mask", "weights"])
def test_corrupt_files_refuse_to_configure_and_say_which(ros, tmp_path, kind):
    broken = tmp_path / ("broken.png" if kind == "mask" else "broken.safetensors")
    broken.write_bytes(b"\x10" * 1000)
    values = {kind: str(broken), "method": "deeprs2v+lncc" if kind == "weights" else "lncc"}
    with pytest.raises(InputError, match=r"broken\."):
        RegistrationNode(context=ros, parameter_overrides=overrides(values))


def test_a_picture_of_something_else_is_never_shown_as_right(bench):
    """Registered to nothing: another patient's liver, noise, half a picture."""
    bench.until_tracking()
    other, noise = phantom("texture", seed=7), np.random.default_rng(1)

    def fault():
        pictures = [
            cut_frame(other, POSE @ ORGAN, seed=int(noise.integers(1 << 30))),
            noise.integers(0, 255, SHAPE).astype(np.uint8),
        ]
        for picture in pictures:
            assert not bench.show(picture=picture).accepted

    ends(bench, fault)
    recovers(bench)


def test_the_correction_at_rest_is_the_identity(bench):
    """What all of the above is measured against: the same picture, with the organ where it was."""
    for seed in range(20):
        status = bench.show(picture=cut_frame(VOLUME_IMAGE, POSE, seed=100 + seed))
        if status.accepted:
            break
    _, volume_from_corrected = bench.corrections[-1]
    assert np.linalg.norm(apply(inverse(volume_from_corrected), CENTRE) - CENTRE) < 1.0
