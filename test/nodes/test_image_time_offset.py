"""Images that are stamped late or early, and what is then looked up, broadcast and said at which time."""

import time

import numpy as np
import pytest
from bench import ORGAN, POSE, expected_correction, overrides
from phantoms import CENTRE
from test_target_monitor import Cart

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import apply, inverse
from deeprs2v_ros.msg import RegistrationStatus
from deeprs2v_ros.nodes.registration import RegistrationNode
from deeprs2v_ros.nodes.target_monitor import TargetMonitor
from deeprs2v_ros.nodes.topics.conversions import nanoseconds, transform_from_pose

SECOND = 1_000_000_000
LATE = SECOND // 4
VELOCITY = np.array([16.0, 0.0, 12.0])  # mm/s: 5 mm in the time by which images are late


@pytest.fixture
def moving(make_bench):
    """Makes a bench whose probe moves and whose images are stamped LATE; shows some, and returns it and the path."""

    def make(offset):
        bench = make_bench(image_time_offset=offset)
        bench.send_volume()
        bench.until_ready()
        begin = bench.now()

        def path(stamp):
            pose = POSE.copy()
            pose[:3, 3] += VELOCITY * (stamp - begin) / SECOND
            return pose

        # Only once all times in use lie on the path: TF joins poses by lines, also those from before it began.
        bench.until(lambda: bench.now() > begin + 3 * LATE)
        for _ in range(4):
            shown = bench.now() - LATE
            bench.send_pose(shown - LATE, path(shown - LATE))
            bench.send_pose(shown, path(shown))
            count = len(bench.statuses)
            # At rest in the volume is C^-1 of what the plane shows now.
            organ = POSE @ ORGAN @ inverse(POSE)
            picture = bench.picture(organ @ path(shown) @ inverse(ORGAN))
            bench.send_pose(shown + LATE, path(shown + LATE))
            bench.send_image(shown + LATE, picture)
            bench.until(lambda count=count: len(bench.statuses) > count)
        return bench, path

    return make


def test_with_the_right_offset_a_late_image_meets_the_pose_it_was_taken_at(moving):
    bench, path = moving(LATE / SECOND)
    status = bench.statuses[-1]
    assert status.accepted
    shown = nanoseconds(status.header.stamp) - LATE
    tracked = transform_from_pose(status.tracked_pose)
    assert tracked == pytest.approx(path(shown), abs=1e-3)
    bench.until(lambda: bench.corrections[-1][0] == shown)  # stamped with the time shown, so that it fits the tree
    volume_from_corrected = bench.corrections[-1][1]
    tissue = apply(inverse(expected_correction()), apply(path(shown), CENTRE))
    assert apply(volume_from_corrected, tissue) == pytest.approx(apply(path(shown), CENTRE), abs=0.5)


def test_without_it_the_arm_has_moved_on_and_the_organ_seems_to_have_moved(moving):
    bench, path = moving(0.0)
    status = bench.statuses[-1]
    stamp = nanoseconds(status.header.stamp)
    tracked = transform_from_pose(status.tracked_pose)
    assert tracked == pytest.approx(path(stamp), abs=1e-3)
    assert np.linalg.norm(tracked[:3, 3] - path(stamp - LATE)[:3, 3]) == pytest.approx(5.0, abs=0.01)
    if status.accepted:
        here = apply(path(stamp), CENTRE)
        tissue = apply(inverse(expected_correction()), here)
        bench.until(lambda: bench.corrections[-1][0] == stamp)
        assert np.linalg.norm(apply(bench.corrections[-1][1], tissue) - here) == pytest.approx(5.0, abs=0.5)


def test_an_image_stamped_early_waits_longer_than_the_deadline(make_bench):
    early = SECOND
    bench = make_bench(image_time_offset=-early / SECOND, transform_deadline=0.05)
    bench.send_volume()
    while not bench.statuses or bench.statuses[-1].reason != "CONFIRMING":
        stamp, count = bench.now(), len(bench.statuses)
        bench.send_image(stamp)
        waited = time.monotonic() + 0.2
        bench.until(lambda waited=waited: time.monotonic() > waited)
        bench.send_pose(stamp + early)
        bench.until(lambda count=count: len(bench.statuses) > count)
        assert bench.statuses[-1].reason in ("NO_VOLUME", "STARTING", "CONFIRMING")
    assert nanoseconds(bench.statuses[-1].header.stamp) == stamp
    assert bench.statuses[-1].latency_transform > 0.05


def test_a_time_before_zero_is_not_taken_for_the_latest(make_bench):
    bench = make_bench(image_time_offset=2.0, transform_deadline=0.05)
    bench.send_volume()
    while not bench.statuses or bench.statuses[-1].reason in ("", "NO_VOLUME", "STARTING"):
        bench.show()
    for stamp in (2 * SECOND, SECOND):  # shows zero, which is the latest to TF, and a time before
        bench.node._guidance.on_jump()
        bench.until(lambda: bench.statuses[-1].state == RegistrationStatus.WAITING)
        count = len(bench.statuses)
        bench.send_image(stamp)
        bench.until(lambda count=count: len(bench.statuses) > count)
        assert bench.statuses[-1].reason == "NO_TRANSFORM"
        assert nanoseconds(bench.statuses[-1].header.stamp) == stamp


def test_the_target_is_looked_up_at_the_time_that_the_image_shows(ros, keep, spin_until):
    cart = Cart(ros, keep, spin_until, image_time_offset=0.25)
    shown = cart.clock()
    cart.correct(shown, 30.0)
    cart.correct(shown + LATE, 90.0)
    cart.say(shown + LATE)
    cart.until(lambda: len(cart.targets) == 1)
    assert nanoseconds(cart.targets[0].header.stamp) == shown
    assert cart.targets[0].point.z == pytest.approx(0.03)


@pytest.mark.parametrize("node", [RegistrationNode, TargetMonitor])
@pytest.mark.parametrize("offset", [7.0, float("nan")])
def test_offsets_that_tf_cannot_bridge_are_refused(ros, node, offset):
    with pytest.raises(InputError, match="image_time_offset"):
        node(context=ros, parameter_overrides=overrides({"image_time_offset": offset}))
