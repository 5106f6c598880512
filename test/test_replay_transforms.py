"""Transforms over time as TF looks them up, against scipy's interpolation."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from deeprs2v_ros.geometry import inverse, rigid
from deeprs2v_ros.replay.clock import IN_A_ROW, BagClock, Seen
from deeprs2v_ros.replay.transforms import REMEMBERED, TransformTree

SECOND = 10**9


def random_transform(rng):
    return rigid(Rotation.random(random_state=rng).as_matrix(), rng.uniform(-500, 500, 3))


@pytest.fixture
def moving():
    """Two links, moved at different times, and a fixed one; (times, transforms) of each that moves."""
    rng = np.random.default_rng(3)
    tree, links = TransformTree(), {}
    for parent, child, period in (("base", "arm", 10**7), ("arm", "hand", 3 * 10**7)):
        times = np.arange(20) * period + SECOND
        links[child] = times, [random_transform(rng) for _ in times]
        for time, transform in zip(*links[child], strict=True):
            tree.insert(parent, child, int(time), transform)
    fixed = random_transform(rng)
    tree.insert("hand", "image", 0, fixed, fixed=True)
    return tree, links, fixed


def independent(times, transforms, time):
    """Linear and slerp by scipy."""
    seconds = (times - SECOND) / 1e9
    at = (time - SECOND) / 1e9
    turn = Slerp(seconds, Rotation.from_matrix([each[:3, :3] for each in transforms]))(at).as_matrix()
    return rigid(turn, [np.interp(at, seconds, [each[axis, 3] for each in transforms]) for axis in range(3)])


@pytest.mark.parametrize("time", [SECOND, SECOND + 1, SECOND + 12_345_678, SECOND + 10**8, SECOND + 190_000_000 - 1])
def test_each_link_of_the_chain_is_interpolated(moving, time):
    tree, links, fixed = moving
    expected = independent(*links["arm"], time) @ independent(*links["hand"], time) @ fixed
    np.testing.assert_allclose(tree.lookup("base", "image", time), expected, atol=1e-9)
    np.testing.assert_allclose(tree.lookup("image", "base", time), inverse(expected), atol=1e-9)


def test_at_a_stamp_it_is_the_transform_itself(moving):
    tree, links, _ = moving
    times, transforms = links["arm"]
    np.testing.assert_array_equal(tree.lookup("base", "arm", int(times[7])), transforms[7])


def test_nothing_is_extrapolated(moving):
    tree, links, _ = moving
    last = int(links["arm"][0][-1])
    assert tree.lookup("base", "image", last) is not None
    assert tree.lookup("base", "image", last + 1) is None
    assert tree.lookup("base", "image", SECOND - 1) is None
    assert tree.lookup("base", "elsewhere", SECOND) is None


def test_a_single_transform_holds_at_its_own_time_only():
    tree = TransformTree()
    tree.insert("base", "arm", SECOND, np.eye(4))
    assert tree.lookup("base", "arm", SECOND) is not None
    assert tree.lookup("base", "arm", SECOND + 1) is None


def test_between_branches():
    rng = np.random.default_rng(4)
    left, right = random_transform(rng), random_transform(rng)
    tree = TransformTree()
    tree.insert("base", "left", 0, left, fixed=True)
    tree.insert("base", "right", 0, right, fixed=True)
    np.testing.assert_allclose(tree.lookup("left", "right", 7), inverse(left) @ right, atol=1e-12)


def test_late_transforms_find_their_place_in_time():
    tree = TransformTree()
    for time in (3, 1, 2):
        tree.insert("base", "arm", time * SECOND, rigid(translation=[time**2, 0, 0]))
    assert tree.lookup("base", "arm", 5 * SECOND // 2)[0, 3] == pytest.approx(6.5)


def test_ten_seconds_are_remembered():
    tree = TransformTree()
    for time in range(13):
        tree.insert("base", "arm", (time + 1) * SECOND, np.eye(4))
    assert tree.lookup("base", "arm", 2 * SECOND) is None
    assert tree.lookup("base", "arm", 3 * SECOND) is not None
    tree.insert("base", "arm", 13 * SECOND - REMEMBERED - 1, np.eye(4))
    assert tree.lookup("base", "arm", 3 * SECOND - 1) is None


def test_clear_leaves_what_is_fixed(moving):
    tree, _, fixed = moving
    tree.clear()
    assert tree.lookup("base", "arm", SECOND) is None
    np.testing.assert_array_equal(tree.lookup("hand", "image", SECOND), fixed)


def test_a_loop_is_no_way():
    tree = TransformTree()
    tree.insert("a", "b", 0, np.eye(4), fixed=True)
    tree.insert("b", "a", 0, np.eye(4), fixed=True)
    assert tree.lookup("c", "a", 1) is None


def test_the_clock_goes_with_the_time_of_receipt():
    clock = BagClock(100 * SECOND)
    clock.advance(101 * SECOND)
    assert clock.see(101 * SECOND - 5) is Seen.FITS
    assert clock.now == clock.steady == 101 * SECOND


def test_a_single_wrong_stamp_changes_nothing():
    clock = BagClock(100 * SECOND)
    for wrong in (7, 500 * SECOND, 0, 0, 0, 0):
        assert clock.see(wrong) is Seen.ODD
    assert clock.see(100 * SECOND) is Seen.FITS
    assert clock.now == 100 * SECOND


def test_a_recorder_that_was_busy_is_no_jump():
    clock = BagClock(100 * SECOND)
    assert clock.see(100 * SECOND) is Seen.FITS
    clock.advance(105 * SECOND)
    assert [clock.see((100 + late) * SECOND) for late in range(6)] == [Seen.FITS] * 6
    assert clock.now == 105 * SECOND


@pytest.mark.parametrize(("by", "seen"), [(-30, Seen.JUMPED_BACK), (30, Seen.JUMPED)])
def test_several_stamps_that_agree_set_the_clock(by, seen):
    clock = BagClock(100 * SECOND)
    stamps = [(100 + by) * SECOND + step for step in range(IN_A_ROW)]
    assert [clock.see(stamp) for stamp in stamps] == [Seen.ODD] * (IN_A_ROW - 1) + [seen]
    assert clock.now == stamps[-1]
    assert clock.steady == 100 * SECOND
    clock.advance(101 * SECOND)
    assert clock.now == stamps[-1] + SECOND
