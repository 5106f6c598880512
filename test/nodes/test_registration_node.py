"""The registration node as others see it: images and transforms in; statuses, TF and pictures out."""

import numpy as np
import pytest
from bench import ORGAN, POSE, PREPARING, black, expected_correction, overrides
from geometry_msgs.msg import PoseWithCovarianceStamped
from phantoms import CENTRE, SHAPE
from sensor_msgs.msg import Image

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import apply, inverse
from deeprs2v_ros.msg import RegistrationStatus as Status
from deeprs2v_ros.nodes.registration import RegistrationNode
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import nanoseconds, stamp_message, transform_from_pose

SECOND = 1_000_000_000


def test_an_accepted_correction_finds_the_tissue_where_it_is(bench):
    bench.until_tracking()
    status = bench.statuses[-1]
    stamp, volume_from_corrected = bench.corrections[-1]
    assert status.accepted and status.reason == "" and nanoseconds(status.header.stamp) == stamp
    # The image centre, in us_volume, now shows the tissue that was at y when the volume was acquired.
    shown_at = apply(POSE, CENTRE)
    tissue = apply(POSE @ ORGAN, CENTRE)
    assert apply(volume_from_corrected, tissue) == pytest.approx(shown_at, abs=0.5)
    # And so do points far from the centre, so the rotation is right as well.
    for corner in ([0.0, 20.0, 0.0], [119.5, 20.0, 0.0]):
        assert apply(volume_from_corrected, apply(POSE @ ORGAN, corner)) == pytest.approx(apply(POSE, corner), abs=0.8)
    assert volume_from_corrected == pytest.approx(expected_correction(), abs=2.0)


def test_poses_of_a_status_belong_together(bench):
    bench.until_tracking()
    status = bench.statuses[-1]
    tracked, registered = transform_from_pose(status.tracked_pose), transform_from_pose(status.pose)
    assert tracked == pytest.approx(POSE, abs=1e-6)
    assert transform_from_pose(status.correction) == pytest.approx(inverse(tracked) @ registered, abs=1e-6)
    motion = transform_from_pose(status.organ_motion)
    assert motion == pytest.approx(registered @ inverse(tracked), abs=1e-6)
    _, volume_from_corrected = bench.corrections[-1]
    assert volume_from_corrected == pytest.approx(inverse(motion), abs=1e-6)


def test_covariance_is_in_metres_along_the_axes_of_the_volume(bench):
    bench.until_tracking()
    covariance = np.reshape(bench.statuses[-1].covariance, (6, 6))
    assert covariance == pytest.approx(covariance.T)
    assert np.linalg.eigvalsh(covariance)[0] > 0.0
    deviations = np.sqrt(np.diag(covariance)[:3])
    assert (deviations > 1e-6).all() and (deviations < 2e-3).all()  # between a micrometre and two millimetres


def test_latencies_grow_down_the_list(bench):
    bench.until_tracking()
    s = bench.statuses[-1]
    assert 0.0 <= s.latency_received <= s.latency_transform <= s.latency_correction <= s.latency_published < 5.0
    assert np.isnan(s.latency_network) and 0.0 <= s.correction_age < 5.0


def test_provenance_names_volume_and_parameters(bench):
    bench.until_tracking()
    name, digest = bench.statuses[-1].volume.split()
    assert name == "volume.mha" and len(digest) == 64
    assert len(bench.statuses[-1].configuration.split()[-1]) == 64


def test_three_good_images_in_a_row_before_anything_is_broadcast(bench):
    bench.until_tracking()
    assert [stamp for stamp, _ in bench.corrections] == [nanoseconds(bench.statuses[-1].header.stamp)]
    assert not any(status.accepted for status in bench.statuses[:-1])
    confirming = [s for s in bench.statuses if s.reason == "CONFIRMING"]
    assert len(confirming) == 2
    assert {s.state for s in confirming} == {Status.INITIALISING}


def test_every_image_gets_exactly_one_status(bench):
    stamps = [bench.now() + k for k in range(8)]
    shown = [*stamps, stamps[-1], 0, stamps[0] - SECOND, stamps[-1] + 60 * SECOND, stamps[-1] + 1]
    for stamp in (*stamps, shown[-1]):
        bench.send_pose(stamp)
    count = len(bench.statuses)
    for stamp in shown:
        bench.node._on_image(bench.message(stamp))
    bench.until(lambda: len(bench.statuses) >= count + len(shown))
    got = bench.statuses[count:]
    assert sorted(nanoseconds(s.header.stamp) for s in got) == sorted(shown)
    reasons = [s.reason for s in got]
    for reason in ("ZERO_STAMP", "FAR_FUTURE", "OUT_OF_ORDER", "DUPLICATE", "SUPERSEDED"):
        assert reason in reasons
    assert not any(s.accepted for s in got if s.reason)
    # One bad stamp never poisons the ones after it: the last image was registered.
    assert got[-1].reason not in ("FAR_FUTURE", "OUT_OF_ORDER") and got[-1].iterations > 0


def test_transform_missing_at_the_stamp_drops_the_image(bench):
    bench.until_tracking()
    corrections, count = len(bench.corrections), len(bench.statuses)
    stamp = bench.now()
    bench.send_image(stamp)  # the latest transform is older
    bench.until(lambda: len(bench.statuses) > count)
    status = bench.statuses[count]
    assert (status.reason, status.accepted) == ("NO_TRANSFORM", False)
    assert np.isnan(status.latency_transform) and status.iterations == 0
    assert np.isnan(status.pose.position.x) and np.isnan(status.tracked_pose.orientation.w)
    assert status.state == Status.HOLDING
    # What is still broadcast is the last accepted correction.
    held = bench.corrections[corrections:]
    assert all(np.array_equal(each, bench.corrections[corrections - 1][1]) for _, each in held)


def test_registration_rejected_never_reaches_tf(make_bench):
    bench = make_bench(**{"trust.hold_timeout": 0.2})
    bench.send_volume()
    bench.until_ready()
    bench.until_tracking()
    last_stamp, last = bench.corrections[-1]
    bench.show_until(lambda status: status.state == Status.LOST, picture=black())
    for status in bench.statuses:
        if status.state == Status.HOLDING:
            assert not status.accepted and status.reason not in ("", "CONFIRMING")
            assert status.correction_age <= 0.2
    assert all(np.array_equal(held, last) for stamp, held in bench.corrections if stamp > last_stamp)
    assert bench.corrections[-1][0] <= last_stamp + 0.2 * SECOND
    broadcast = len(bench.corrections)
    bench.show(picture=black())
    assert len(bench.corrections) == broadcast


def test_covariance_grows_while_holding(make_bench):
    bench = make_bench(**{"trust.hold_timeout": 60.0})
    bench.send_volume()
    bench.until_ready()
    bench.until_tracking()
    statuses = [bench.statuses[-1], *(bench.show(picture=black()) for _ in range(3))]
    traces = [np.trace(np.reshape(status.broadcast_covariance, (6, 6))) for status in statuses]
    assert bench.statuses[-1].state == Status.HOLDING
    assert traces == sorted(traces) and traces[-1] > traces[0]


def test_plane_outside_the_volume_is_out_of_volume(bench):
    away = POSE.copy()
    away[:3, 3] += 500.0
    status = bench.show(pose=away, picture=bench.picture())
    assert (status.reason, status.accepted) == ("OUT_OF_VOLUME", False)
    assert status.overlap < 0.3
    assert transform_from_pose(status.tracked_pose) == pytest.approx(away, abs=1e-6)


def test_identical_images_while_the_arm_moves_are_frozen(bench):
    picture = bench.picture()
    assert bench.show(picture=picture).reason != "FROZEN"
    assert bench.show(picture=picture).reason == "FROZEN"  # the arm is still: a normal freeze, and no new measurement
    moved = POSE.copy()
    moved[:3, 3] += 5.0
    assert bench.show(pose=moved, picture=picture).reason == "FROZEN"


def test_wrong_size_is_refused(bench):
    status = bench.show(picture=np.zeros((SHAPE[0] + 1, SHAPE[1]), np.uint8))
    assert (status.reason, status.accepted) == ("WRONG_SIZE", False)


def test_unreadable_image_is_refused(bench):
    stamp, count = bench.now(), len(bench.statuses)
    broken = Image(encoding="mono8", height=SHAPE[0], width=SHAPE[1], step=SHAPE[1])
    broken.header.stamp = stamp_message(stamp)
    bench.node._on_image(broken)
    bench.until(lambda: len(bench.statuses) > count)
    assert bench.statuses[count].reason == "UNREADABLE"


def test_without_a_volume_it_waits(make_bench):
    status = make_bench().show()
    assert (status.state, status.reason, status.volume) == (Status.WAITING, "NO_VOLUME", "")


def test_corrupt_volume_is_refused_and_a_good_one_taken_after_it(make_bench, tmp_path):
    bench = make_bench()
    broken = tmp_path / "broken.mha"
    broken.write_bytes(bench.volume_path.read_bytes()[:5000])
    bench.send_volume(broken)
    for _ in range(10):
        assert bench.show().reason in ("NO_VOLUME", "STARTING")
    bench.send_volume()
    bench.until_ready()
    bench.until_tracking()
    assert bench.statuses[-1].volume.startswith("volume.mha")


def test_mask_is_found_from_the_first_images(make_bench):
    bench = make_bench(mask="", mask_frames=3)
    bench.send_volume()
    assert bench.show().reason == "FINDING_MASK"
    bench.until_ready()
    bench.until_tracking()
    assert {s.reason for s in bench.statuses if s.state == Status.WAITING} <= set(PREPARING)


def test_mask_that_cannot_be_found_is_looked_for_again(make_bench):
    bench = make_bench(mask="", mask_frames=2)
    bench.send_volume()
    for _ in range(6):
        assert bench.show(picture=black()).reason == "FINDING_MASK"
    bench.until_ready()
    assert not any(status.state == Status.FAULT for status in bench.statuses)


def test_out_of_memory_while_the_volume_is_read_is_a_fault(make_bench, monkeypatch):
    def fails(*_):
        raise MemoryError("no room")

    monkeypatch.setattr("deeprs2v_ros.registration.preparation.read_volume", fails)
    bench = make_bench()
    bench.send_volume()
    bench.show_until(lambda status: status.state == Status.FAULT)
    assert "no room" in bench.statuses[-1].reason


def test_failure_in_the_registration_is_a_latched_fault(bench, monkeypatch):
    def fails(*_):
        raise MemoryError("no room")

    monkeypatch.setattr(bench.node._guidance._preparation.ready.tracker, "register_frame", fails)
    status = bench.show()
    assert status.state == Status.FAULT and "no room" in status.reason
    monkeypatch.undo()
    assert bench.show().state == Status.FAULT
    assert bench.corrections == []


def test_images_stop_and_that_is_said(make_bench):
    bench = make_bench(image_timeout=0.3)
    bench.send_volume()
    bench.until_ready()
    bench.until_tracking()
    count = len(bench.statuses)
    bench.until(lambda: len(bench.statuses) > count)
    status = bench.statuses[count]
    assert (status.reason, status.state, status.accepted) == ("IMAGE_STALE", Status.LOST, False)


def test_clock_jumps_back_and_it_starts_over(bench):
    bench.until_tracking()
    earlier = bench.now() - 3600 * SECOND
    assert bench.show(earlier).reason == "OUT_OF_ORDER"
    bench.node._on_jump()
    bench.node._plane.buffer.clear()
    bench.until(lambda: bench.statuses[-1].reason == "CLOCK_JUMP")
    status = bench.show(earlier + SECOND)
    # The clock itself has not jumped here, so what was registered is an hour old.
    assert (status.state, status.reason) == (Status.INITIALISING, "LATE") and status.iterations > 0


def test_parameters_that_cannot_be_met_are_refused(ros):
    refused = {"transform_deadline": -1.0, "mask": "/nowhere.png", "gate.minimum_lncc": "high", "abdominal_wall": -5.0}
    for name, value in refused.items():
        with pytest.raises(InputError, match=name if name != "mask" else "nowhere"):
            RegistrationNode(context=ros, parameter_overrides=overrides({name: value}))


def test_gate_parameters_reach_the_gate(make_bench):
    bench = make_bench(**{"gate.minimum_lncc": 0.999})
    bench.send_volume()
    bench.until_ready()
    assert bench.show().reason == "LOW_LNCC"


def test_a_pose_of_the_arm_that_is_none_is_refused(bench):
    bench.until_tracking()
    publisher = bench.hand.create_publisher(PoseWithCovarianceStamped, "arm/image_pose", qos.STATUS)
    bench.until(lambda: publisher.get_subscription_count() == 1)
    message = PoseWithCovarianceStamped()
    message.header.frame_id = "base_link"
    message.pose.pose.position.x = float("nan")
    publisher.publish(message)
    for _ in range(5):
        bench.show()
    bench.until_tracking()


def test_an_infinite_transform_drops_the_image(bench):
    bench.until_tracking()
    away = POSE.copy()
    away[0, 3] = np.inf
    assert bench.show(pose=away, picture=bench.picture()).state != Status.TRACKING
    bench.until_tracking()
