import numpy as np
import pytest

from deeprs2v_ros.geometry import from_motion
from deeprs2v_ros.registration.arrivals import Freeze, FreezeCheck, Refusal, StampCheck

SECOND = 1_000_000_000
NOW = 1_763_800_000 * SECOND
PICTURE = np.arange(12, dtype=np.uint8).reshape(3, 4)
EVERYWHERE = np.ones((3, 4), bool)


@pytest.fixture
def stamps():
    return StampCheck(tolerance=SECOND // 10)


def test_growing_stamps_pass(stamps):
    # A nanosecond apart: as seconds in a float, these two would be the same.
    assert [stamps.judge(NOW + k, NOW) for k in range(3)] == [Refusal.NONE] * 3


@pytest.mark.parametrize(
    ("stamp", "refusal"),
    [
        (0, Refusal.ZERO_STAMP),
        (NOW, Refusal.DUPLICATE),
        (NOW - 1, Refusal.OUT_OF_ORDER),
        (NOW + SECOND, Refusal.FAR_FUTURE),
    ],
)
def test_bad_stamp_is_refused_and_does_not_poison_the_next(stamps, stamp, refusal):
    assert not stamps.judge(NOW, NOW)
    assert stamps.judge(stamp, NOW) is refusal
    assert not stamps.judge(NOW + 1, NOW)


def test_stamps_start_over_after_a_jump(stamps):
    assert not stamps.judge(NOW, NOW)
    stamps.reset()
    assert not stamps.judge(NOW - 100 * SECOND, NOW - 100 * SECOND)


def test_a_picture_that_stands_is_frozen_and_it_is_said_whether_the_probe_moved():
    check = FreezeCheck(2.0, np.zeros(3))
    poses = [from_motion([x, 0, 0, 0, 0, 0]) for x in (0.0, 0.0, 1.9, 2.1)]
    assert [check.judge(PICTURE.copy(), EVERYWHERE, pose) for pose in poses] == [
        Freeze.NONE, Freeze.STILL, Freeze.STILL, Freeze.MOVED
    ]  # fmt: skip
    assert check.judge(PICTURE + 1, EVERYWHERE, poses[-1]) is Freeze.NONE


def test_a_clock_beside_a_picture_that_stands_does_not_make_it_a_new_one():
    check = FreezeCheck(2.0, np.zeros(3))
    mask = EVERYWHERE.copy()
    mask[0] = False
    later = PICTURE.copy()
    later[0, 0] += 1
    judged = [check.judge(picture, mask, np.eye(4)) for picture in (PICTURE, later, PICTURE + 1)]
    assert judged == [Freeze.NONE, Freeze.STILL, Freeze.NONE]


def test_turning_the_probe_counts_as_moving():
    check = FreezeCheck(2.0, np.zeros(3))
    assert check.judge(PICTURE, EVERYWHERE, np.eye(4)) is Freeze.NONE
    turned = from_motion([0, 0, 0, 0, np.radians(5.0), 0])
    assert check.judge(PICTURE, EVERYWHERE, turned) is Freeze.MOVED


def test_freeze_check_can_be_turned_off():
    check = FreezeCheck(0.0, np.zeros(3))
    assert all(
        check.judge(PICTURE, EVERYWHERE, pose) is Freeze.NONE for pose in (np.eye(4), from_motion([90, 0, 0, 0, 0, 0]))
    )
