"""What an organ cannot have done: the arm or a clock is wrong."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from deeprs2v_ros.geometry import inverse, rigid
from deeprs2v_ros.registration.gate import Reason
from deeprs2v_ros.registration.plausibility import OLDEST, Plausibility
from deeprs2v_ros.registration.search import distance

SECOND = 1_000_000_000
NOW = 100 * SECOND
MIDDLE = np.array([30.0, 40.0, 50.0])


def probe(time):
    """A hand that slides and turns, at up to 30 mm a second."""
    t = time / SECOND
    turn = Rotation.from_euler(
        "xyz", [5.0 * np.sin(0.7 * t), 6.0 * np.sin(0.5 * t + 1.0), 3.0 * np.sin(t)], degrees=True
    )
    return rigid(turn.as_matrix(), [30.0 * np.sin(0.9 * t), 5.0 * np.cos(0.6 * t), 12.0 * np.sin(1.1 * t + 0.4)])


def organ(y, z=0.0):
    return rigid(translation=(0.0, y, z))


@pytest.fixture
def check():
    plausibility = Plausibility(MIDDLE, 50.0)
    plausibility.trust(organ(2.0))
    return plausibility


def judged(check, registered, time=NOW, at=probe):
    return check.judge(registered, probe(time), time, at)


@pytest.mark.parametrize("delay", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("breath", [-4.0, 0.0, 4.0])
def test_images_stamped_late_are_found_out_while_the_probe_moves(check, delay, breath):
    verdicts = []
    for time in range(NOW, NOW + 60 * SECOND, SECOND // 2):
        shown = organ(2.0 + breath) @ probe(time - round(delay * SECOND))
        if distance(shown @ inverse(probe(time)), organ(2.0), MIDDLE) > 12.0:
            verdicts.append(judged(check, shown, time))
    assert len(verdicts) > 40
    assert Reason.NONE not in verdicts


def test_a_breath_is_plausible_however_the_probe_moves(check):
    times = NOW + np.arange(0, 60 * SECOND, SECOND // 10)
    verdicts = [judged(check, organ(14.0, z=5.0) @ probe(time), time) for time in times.tolist()]
    assert np.mean([each is Reason.NONE for each in verdicts]) > 0.95


def test_a_patient_who_moved_is_plausible_while_the_probe_is_still(check):
    assert judged(check, organ(30.0) @ probe(NOW), at=lambda _: probe(NOW)) is Reason.NONE


def test_beyond_its_range_the_organ_cannot_be(check):
    assert judged(check, organ(53.0) @ probe(NOW)) is Reason.IMPLAUSIBLE_JUMP


def test_without_anything_trusted_all_is_possible(check):
    check.reset()
    assert judged(check, organ(200.0) @ probe(NOW)) is Reason.NONE


def test_only_what_the_arm_has_said_is_asked_for(check):
    asked = []

    def at(time):
        asked.append(time)
        return probe(time) if time > NOW - SECOND else None

    assert judged(check, organ(2.0) @ probe(NOW - 2 * SECOND), at=at) is Reason.NONE
    assert min(asked) == NOW - SECOND
    assert max(asked) < NOW
    assert min(asked) >= NOW - OLDEST
