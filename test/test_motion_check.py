"""Which samples of joints are believed when they contradict each other: one joint, 1 rad/s, a sample every 10 ms."""

import numpy as np
import pytest

from deeprs2v_ros.arm.motion_check import CONFIRMED, ESTABLISHED, SILENCE, JointSample, MotionCheck
from deeprs2v_ros.arm.refusals import SampleError

PERIOD = 0.01
FAR = 0.9


class Played:
    """What became of a course of samples: ``good`` their places, ``faults`` why the others were refused."""

    def __init__(self, check=None):
        self.check = check or MotionCheck({"a": 1.0, "b": 1.0}, {"a": 0.001, "b": 0.001}, 0.0)
        self.time, self.good, self.faults = 0.0, [], []

    def play(self, *places, period=PERIOD):
        for place in places:
            self.time += period
            try:
                good = self.check.take(self.time, JointSample(round(1e9 * self.time), {"a": place, "b": 0.0}))
                self.good += [sample.values["a"] for sample in good]
            except SampleError as error:
                self.faults.append(error.fault)
        return self


def test_nothing_is_believed_alone_and_nothing_is_lost():
    played = Played().play(0.0, 0.0)
    assert played.good == []
    assert played.play(0.005).good == [0.0, 0.0, 0.005]
    assert played.play(0.01).good == [0.0, 0.0, 0.005, 0.01]


@pytest.mark.parametrize("wild", [1, 2])
def test_a_bad_first_count_is_never_good(wild):
    played = Played().play(*[FAR] * wild, *[0.0] * 30)
    assert played.good == [0.0] * 30
    assert played.faults == ["speed"]


@pytest.mark.parametrize("wrong", [3, 5, ESTABLISHED - 1])
def test_more_samples_contradict_a_wrong_beginning(wrong):
    """As from an encoder that is read before it is ready."""
    played = Played().play(*[FAR] * wrong, *[0.0] * 40)
    against = max(wrong, CONFIRMED) + 1
    assert played.faults == ["speed"] * (against - 1) + ["reference"]
    assert played.good == [FAR] * wrong + [0.0] * (40 - against)


@pytest.mark.parametrize("jump", [0.03, 0.2, FAR, -1.5])
def test_a_slip_stays_refused_however_long_it_lasts(jump):
    """Time alone does not make it good, though the joint could be there by now."""
    played = Played().play(*[0.0] * ESTABLISHED, *[jump] * 500)
    assert played.good == [0.0] * ESTABLISHED
    assert played.faults == ["speed"] * 500
    with pytest.raises(SampleError, match=r"a: jumped by .*: counts were lost, or a zero is wrong"):
        played.check.take(played.time + PERIOD, JointSample(0, {"a": jump, "b": 0.0}))


def test_a_slip_on_a_moving_arm_stays_refused():
    course = 0.5 * PERIOD * np.arange(300)
    played = Played().play(*course[:50], *course[50:] + 0.3)
    assert len(played.good) == 50


def test_what_slipped_and_came_back_is_good_again():
    played = Played().play(*[0.0] * 30, *[FAR] * 50, *[0.0] * 10)
    assert played.good == [0.0] * 40


@pytest.mark.parametrize("speed", [0.7, -0.7])
def test_what_slipped_and_came_back_is_good_wherever_the_arm_went_meanwhile(speed):
    course = speed * PERIOD * np.arange(400)
    played = Played().play(*course[:50], *course[50:300] + 0.3, *course[300:])
    np.testing.assert_array_equal(played.good, [*course[:50], *course[300:]])


def test_what_slipped_twice_is_not_back():
    """Time alone would do, and so it would for noise."""
    slipped = [0.0] * 50 + [0.4] * 300
    assert Played().play(*slipped, *[0.7] * 300).good == [0.0] * 50
    assert Played().play(*slipped, *[0.2] * 300).good == [0.0] * 50


def test_noise_after_a_good_beginning_is_never_good():
    played = Played().play(*[0.0] * 50, *np.random.default_rng(1).uniform(0.1, 1, 300))
    assert played.good == [0.0] * 50


def test_wild_samples_among_good_ones_are_refused_each():
    places = [0.0] * 200
    wild = np.random.default_rng(0).choice(200, 40, replace=False)
    for number in wild[wild >= CONFIRMED]:
        places[number] = FAR * (-1) ** number
    assert set(Played().play(*places).good) == {0.0}


def test_a_little_too_fast_is_refused_until_the_time_has_passed():
    played = Played().play(*[0.0] * 30, 0.018, 0.018, 0.018)
    assert played.faults == ["speed"]
    assert played.good[30:] == [0.018, 0.018]


def test_after_a_silence_everything_is_new():
    played = Played().play(*[0.0] * 30)
    played.play(FAR, period=SILENCE + 0.01)
    played.play(FAR)
    assert played.good == [0.0] * 30
    played.play(FAR)
    assert played.good[30:] == [FAR] * 3
    assert played.faults == []


def test_a_source_that_was_restarted_is_believed_again():
    played = Played().play(*[0.0] * 30, *[FAR] * 30)
    assert len(played.good) == 30
    played.play(FAR, period=SILENCE + 0.01).play(FAR, FAR, FAR)
    assert played.good[30:] == [FAR] * 4


def test_noise_from_the_start_is_never_good():
    places = np.random.default_rng(1).uniform(-1, 1, 200)
    played = Played().play(*places)
    assert played.good == []
    assert len(played.faults) > 150
