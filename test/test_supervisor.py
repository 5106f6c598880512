import numpy as np
import pytest

from deeprs2v_ros.geometry import rigid
from deeprs2v_ros.registration.supervisor import CONFIRMING, LATE, State, Supervisor, SupervisorSettings

MS = 1_000_000
COVARIANCE = np.diag([0.04, 0.04, 0.09, 1e-5, 1e-5, 2e-5])


def motion(k):
    return rigid(translation=(float(k), 0.0, 0.0))


@pytest.fixture
def supervisor():
    supervisor = Supervisor(SupervisorSettings(accept_in_a_row=3, hold_timeout=0.5))
    supervisor.initialise()
    return supervisor


def good(supervisor, *milliseconds):
    return [supervisor.good(ms * MS, ms * MS, motion(ms), COVARIANCE) for ms in milliseconds]


def test_waiting_until_it_can_register():
    supervisor = Supervisor()
    verdict = supervisor.bad(1, "NO_VOLUME")
    assert (verdict.state, verdict.accepted, verdict.reason, verdict.age) == (State.WAITING, False, "NO_VOLUME", None)
    supervisor.initialise()
    assert supervisor.bad(2, "LOW_LNCC").state == State.INITIALISING


def test_initialising_to_tracking_after_three_good_in_a_row(supervisor):
    first, second, third = good(supervisor, 0, 100, 200)
    for verdict in (first, second):
        assert (verdict.state, verdict.accepted, verdict.reason) == (State.INITIALISING, False, CONFIRMING)
        assert verdict.held is None
    assert (third.state, third.accepted, third.reason, third.age) == (State.TRACKING, True, "", 0.0)
    assert np.array_equal(third.held.motion, motion(200))


def test_a_bad_result_breaks_the_row(supervisor):
    good(supervisor, 0, 100)
    assert supervisor.bad(200 * MS, "LOW_LNCC").state == State.INITIALISING
    assert not any(verdict.accepted for verdict in good(supervisor, 300, 400))
    assert good(supervisor, 500)[0].accepted


def test_tracking_to_holding_on_a_bad_result(supervisor):
    good(supervisor, 0, 100, 200)
    verdict = supervisor.bad(300 * MS, "LOW_LNCC")
    assert (verdict.state, verdict.accepted, verdict.reason) == (State.HOLDING, False, "LOW_LNCC")
    assert np.array_equal(verdict.held.motion, motion(200))
    assert verdict.age == pytest.approx(0.1)


def test_covariance_grows_while_holding(supervisor):
    good(supervisor, 0, 100, 200)
    held = [supervisor.bad(ms * MS, "LOW_LNCC").held.covariance for ms in (250, 300, 400, 700)]
    for smaller, larger in zip([COVARIANCE, *held], held, strict=False):
        assert np.linalg.eigvalsh(larger - smaller)[0] > 0.0


def test_holding_to_lost_after_the_timeout(supervisor):
    good(supervisor, 0, 100, 200)
    assert supervisor.bad(700 * MS, "LOW_LNCC").state == State.HOLDING
    verdict = supervisor.bad(701 * MS, "LOW_LNCC")
    assert (verdict.state, verdict.held) == (State.LOST, None)
    assert verdict.age == pytest.approx(0.501)


def test_holding_to_tracking_after_three_good_in_a_row(supervisor):
    good(supervisor, 0, 100, 200)
    supervisor.bad(300 * MS, "LOW_LNCC")
    first, second, third = good(supervisor, 400, 500, 600)
    for verdict in (first, second):
        assert (verdict.state, verdict.accepted, verdict.reason) == (State.HOLDING, False, CONFIRMING)
        assert np.array_equal(verdict.held.motion, motion(200))
    assert (third.state, third.accepted) == (State.TRACKING, True)
    assert np.array_equal(third.held.motion, motion(600))


def test_a_good_result_that_is_not_trusted_yet_does_not_prolong_holding(supervisor):
    good(supervisor, 0, 100, 200)
    supervisor.bad(600 * MS, "LOW_LNCC")
    first, second, third = good(supervisor, 700, 800, 900)
    assert first.state == State.HOLDING
    assert (second.state, second.held) == (State.INITIALISING, None)
    assert third.accepted


def test_lost_to_tracking_by_way_of_initialising(supervisor):
    good(supervisor, 0, 100, 200)
    assert supervisor.bad(2000 * MS, "LOW_LNCC").state == State.LOST
    states = [verdict.state for verdict in good(supervisor, 2100, 2200, 2300)]
    assert states == [State.INITIALISING, State.INITIALISING, State.TRACKING]


def test_tracking_does_not_go_on_after_a_gap(supervisor):
    good(supervisor, 0, 100, 200)
    verdict = good(supervisor, 5000)[0]
    assert (verdict.state, verdict.accepted, verdict.held) == (State.INITIALISING, False, None)


def test_an_image_set_aside_changes_nothing(supervisor):
    good(supervisor, 0, 100, 200)
    verdict = supervisor.aside(250 * MS, "SUPERSEDED")
    assert (verdict.state, verdict.accepted, verdict.held.stamp) == (State.TRACKING, False, 200 * MS)
    assert good(supervisor, 300)[0].accepted


def test_a_state_expires_by_itself(supervisor):
    good(supervisor, 0, 100, 200)
    assert [supervisor.state(ms * MS) for ms in (250, 700, 701)] == [State.TRACKING, State.TRACKING, State.LOST]
    assert supervisor.held(700 * MS) is not None and supervisor.held(701 * MS) is None


def test_images_that_say_nothing_keep_nothing_alive(supervisor):
    good(supervisor, 0, 100, 200)
    states = [supervisor.aside(ms * MS, "DUPLICATE").state for ms in range(250, 1000, 50)]
    assert states == [State.TRACKING] * 10 + [State.LOST] * 5


def test_a_result_that_took_too_long_is_not_accepted(supervisor):
    good(supervisor, 0, 100, 200)
    verdict = supervisor.good(250 * MS, 751 * MS, motion(250), COVARIANCE)
    assert (verdict.accepted, verdict.reason, verdict.held) == (False, LATE, None)


def test_images_stop_and_tracking_is_over(supervisor):
    good(supervisor, 0, 100, 200)
    supervisor.distrust()
    assert supervisor.state(300 * MS) == State.LOST
    assert not good(supervisor, 300)[0].accepted


def test_clock_jumps_back_and_everything_is_forgotten(supervisor):
    good(supervisor, 1000, 1100, 1200)
    supervisor.reset()
    assert supervisor.state(300 * MS) == State.WAITING
    supervisor.initialise()
    verdict = good(supervisor, 100)[0]
    assert (verdict.state, verdict.accepted, verdict.age) == (State.INITIALISING, False, None)


def test_a_fault_is_latched(supervisor):
    good(supervisor, 0, 100, 200)
    supervisor.fault("MemoryError: no room")
    for verdict in (*good(supervisor, 300), supervisor.bad(400 * MS, "LOW_LNCC"), supervisor.aside(500 * MS, "")):
        assert (verdict.state, verdict.accepted, verdict.held) == (State.FAULT, False, None)
        assert verdict.reason == "MemoryError: no room"
    supervisor.reset()
    supervisor.distrust()
    supervisor.initialise()
    assert supervisor.state(300 * MS) == State.FAULT


def test_only_accepted_is_ever_tracking(supervisor):
    rng = np.random.default_rng(0)
    for k in range(2000):
        stamp = k * 100 * MS
        good = rng.random() < 0.6
        verdict = supervisor.good(stamp, stamp, motion(k), COVARIANCE) if good else supervisor.bad(stamp, "BAD")
        assert verdict.accepted == (verdict.state is State.TRACKING) == (verdict.reason == "")
        assert (verdict.held is not None) == (verdict.state in (State.TRACKING, State.HOLDING))
        assert verdict.held is None or verdict.held.age <= 0.5
