"""The benchmark of faults: from what was heard to a verdict; the soak: from samples to a slope."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
RATE = 30.0


@pytest.fixture
def judging(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from trust import judging

    return judging


@pytest.fixture
def course(judging):
    """Three seconds of good tracking, 2.5 s of silence that begin at 0 and are said after 0.5 s, three good ones."""
    said, sent = [], []
    for time in np.arange(-3.0, 5.5, 1.0 / RATE):
        lost = 0.5 < time < 2.6
        if not 0.0 < time < 2.5:
            sent.append(round(1e9 * time))
            state, accepted = ("LOST", False) if lost else ("TRACKING", True)
            said.append(judging.Said(time + 0.02, sent[-1], state, accepted, "", 0.4, 0.3))
    said.append(judging.Said(0.5, 500_000_000, "LOST", False, "EXPIRED", math.nan, math.nan))
    said.sort(key=lambda each: each.at)
    return judging.Course(0.0, 2.5, sent, said, [], [])


def said_at(course, time):
    """The number of the status that was heard about then."""
    return min(range(len(course.said)), key=lambda number: abs(course.said[number].at - time))


def changed(course, time, **fields):
    """The course with another status at some time."""
    number = said_at(course, time)
    return replace(
        course,
        said=[replace(each, **fields) if each is course.said[number] else each for each in course.said],
    )


def test_a_row_as_it_has_to_be(judging, course):
    verdict = judging.judge(course, judging.Expectation())
    assert verdict.complaints == ()
    assert (verdict.worst, verdict.seen, verdict.wrong) == (0.4, 0.3, 0)
    assert verdict.left == pytest.approx(0.5)
    assert verdict.returned == pytest.approx(0.12, abs=0.04)
    assert verdict.states == "TRACKING LOST TRACKING"


@pytest.mark.parametrize("fields", [{"error": 5.1}, {"seen": 5.1}])
def test_a_wrong_picture_counts_once_it_is_shown_as_right(judging, course, fields):
    assert judging.judge(changed(course, -1.0, **fields), judging.Expectation()).complaints == (
        "1 wrong shown as right",
    )
    for kept_back in ({"accepted": False}, {"state": "HOLDING"}):
        assert judging.judge(changed(course, -1.0, **fields, **kept_back), judging.Expectation()).wrong == 0


def test_where_the_arm_is_off_only_the_image_tells(judging, course):
    slipped = judging.Expectation(arm_is_off=True)
    assert judging.judge(changed(course, -1.0, error=20.0), slipped).wrong == 0
    assert judging.judge(changed(course, -1.0, seen=20.0), slipped).wrong == 1


def test_a_state_that_nobody_takes_back_is_one_that_stays(judging, course):
    silent = replace(course, said=[each for each in course.said if each.state == "TRACKING"])
    verdict = judging.judge(silent, judging.Expectation())
    assert math.isinf(verdict.left)
    assert verdict.complaints[0] == "TRACKING for inf s"
    assert not any("TRACKING" in each for each in judging.judge(silent, judging.Expectation(leaves=False)).complaints)


def test_a_state_that_does_not_come_back(judging, course):
    lost = replace(course, said=[each for each in course.said if each.at < 2.0])
    assert judging.judge(lost, judging.Expectation()).complaints[0] == "back after inf s"


def test_answers_count_while_tracking_or_holding(judging, course):
    answers = [judging.Answer(time, error) for time, error in ((-1.0, 3.0), (0.2, 6.0), (1.0, 30.0))]
    verdict = judging.judge(replace(course, predicted=answers, now=answers[:1]), judging.Expectation())
    assert (verdict.predicted, verdict.predicted_wrong, verdict.now) == (6.0, 1, 3.0)


def test_every_image_has_one_status(judging):
    assert judging.account([1, 2, 3], [1, 2, 3, 99]) == (0, 0)  # one that is about no image
    assert judging.account([1, 2, 2, 2, 3], [1, 2, 2, 3, 3]) == (1, 1)
    assert judging.account([0, 0], []) == (2, 0)


def test_errors_are_those_of_the_target(monkeypatch):
    """The true motion is without error; an arm that is off shows in base_link and not in the image."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from trust.truth import Truth

    from deeprs2v_ros.geometry import apply, inverse, rigid
    from deeprs2v_ros.simulation.breathing import Breathing

    class Scene:
        rate = RATE
        target = np.array([10.0, 40.0, -20.0])
        breathing = Breathing(3, nonrigid_mm=0.0)

        def pose(self, index):
            return self.breathing.rigid(index / RATE) @ rigid(translation=(5.0, 0.0, -20.0))

    class Cart:
        scene = Scene()
        base_from_volume = rigid(translation=(300.0, 0.0, 100.0))

        def target_in_base(self, t):
            return apply(self.base_from_volume, self.scene.breathing.displace(self.scene.target, t))

    truth, scene = Truth(Cart()), Scene()
    index = 10_037
    stamp = round(1e9 * index / RATE)
    motion = inverse(scene.breathing.rigid(stamp / 1e9))
    tracked = scene.pose(index)
    assert truth.error(stamp, motion) == pytest.approx(0.0, abs=1e-6)
    assert truth.seen(stamp, motion, tracked) == pytest.approx(0.0, abs=1e-3)
    assert truth.off(stamp, Cart().target_in_base(stamp / 1e9)) == pytest.approx(0.0, abs=1e-6)
    slip = rigid(translation=(0.0, 0.0, 8.0))  # the arm says that the plane is there: C = Y X^-1 takes it back
    assert truth.error(stamp, motion @ inverse(slip)) == pytest.approx(8.0)
    assert truth.seen(stamp, motion @ inverse(slip), slip @ tracked) == pytest.approx(0.0, abs=1e-3)
    speed = [np.linalg.norm(np.diff([Cart().target_in_base(t + d) for d in (0.0, 0.02)], axis=0))
             for t in (truth.fastest(stamp) / 1e9, stamp / 1e9)]  # fmt: skip
    assert speed[0] >= speed[1]


@pytest.mark.parametrize("per_hour", [0.0, 0.5, 40.0])
def test_growth_is_found_below_steps_and_noise(monkeypatch, per_hour):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from trust.growth import slope

    times = np.arange(0.0, 1800.0, 5.0)
    values = 700.0 + per_hour * times / 3600.0 + np.random.default_rng(2).normal(0.0, 0.05, len(times))
    values[::40] += 30.0  # what is taken for a moment and given back
    found = slope(times, values)
    assert found.value == pytest.approx(per_hour, abs=0.1)
    assert found.low <= per_hour + 0.05
    assert found.high >= per_hour - 0.05
    with pytest.raises(ValueError, match="needs 16 samples"):
        slope(times[:15], values[:15])
