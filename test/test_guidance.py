"""The failures of the design, row by row, on the live pipeline itself: what is held, what is not, and recovery."""

from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pytest
from phantoms import CENTRE, IMAGE_FROM_PIXEL, SHAPE, cut_frame, displacement, fan, middle_pose, phantom

from deeprs2v_ros.errors import WeightsError
from deeprs2v_ros.geometry import apply, from_motion, inverse
from deeprs2v_ros.imaging.image_geometry import ImageGeometry
from deeprs2v_ros.imaging.volume import write_volume
from deeprs2v_ros.registration.arrivals import Refusal
from deeprs2v_ros.registration.gate import Reason
from deeprs2v_ros.registration.guidance import Clock, Guidance, GuidanceSettings
from deeprs2v_ros.registration.preparation import Recipe
from deeprs2v_ros.registration.supervisor import State
from deeprs2v_ros.registration.tracker import Tracker

SECOND = 1_000_000_000
PERIOD = SECOND // 10
SPHERES = phantom("spheres")
POSE = middle_pose(SPHERES)
IMAGES = ImageGeometry(SHAPE, (IMAGE_FROM_PIXEL[0, 0], IMAGE_FROM_PIXEL[1, 1]))
BLACK = np.zeros(SHAPE, np.uint8)


class AtOnce:
    """An executor that is done before it answers."""

    def submit(self, work, *arguments):
        future = Future()
        try:
            future.set_result(work(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


class Patient:
    """A patient who breathes, a probe that is held still, and a guidance with a clock that moves when it is told to."""

    def __init__(self, guidance_settings, background=None):
        self.time = 1000 * SECOND
        self.lines, self.shown = [], 0
        clock = Clock(lambda: self.time, lambda: self.time)
        recipe = Recipe.usual("lncc")
        self.guidance = Guidance(
            IMAGES, fan(), recipe, guidance_settings, clock, background or AtOnce(), self.lines.append
        )
        self.guidance.start()

    def organ(self, time):
        """Motion of the plane about the image centre at a time: 8 mm in 4 s."""
        depth = np.sin(np.pi * time / (4 * SECOND)) ** 2
        return displacement((8.0 * depth, -3.0 * depth, 2.0 * depth, 2.0 * depth, 0.0, 3.0 * depth))

    def truth(self, time):
        """C at a time."""
        return POSE @ self.organ(time) @ inverse(POSE)

    def picture(self, pose=POSE):
        self.shown += 1
        return cut_frame(SPHERES, pose @ self.organ(self.time), seed=self.shown)

    def show(self, picture=None, pose=POSE, stamp=None, step=PERIOD):
        """One image, a period after the last one; its outcome."""
        self.time += step
        arrival = self.guidance.receive(self.time if stamp is None else stamp)
        if arrival.refusal:
            return self.guidance.aside(arrival)
        return self.guidance.on_image(arrival, self.picture(pose) if picture is None else picture, lambda _: pose)

    def track(self):
        """Images until TRACKING."""
        for _ in range(6):
            outcome = self.show()
            if outcome.verdict.state is State.TRACKING:
                return outcome
        raise AssertionError(outcome.verdict)

    def state(self):
        return self.guidance.at(self.time).state

    def shows_nothing(self):
        moment = self.guidance.at(self.time)
        return moment.held is None and moment.predicted is None


@pytest.fixture(scope="module")
def volume(tmp_path_factory):
    path = tmp_path_factory.mktemp("volume") / "spheres.mha"
    write_volume(path, SPHERES)
    return path


@pytest.fixture
def make_patient(volume):
    def make(background=None, **settings):
        patient = Patient(GuidanceSettings(**settings), background)
        patient.guidance.on_volume(str(volume))
        return patient

    return make


@pytest.fixture
def patient(make_patient):
    return make_patient()


def off(motion, truth):
    """How far apart two motions put what the image centre shows, mm."""
    tissue = apply(POSE, CENTRE)
    return float(np.linalg.norm(apply(inverse(motion), tissue) - apply(inverse(truth), tissue)))


def test_a_breathing_organ_is_followed_and_predicted(patient):
    patient.track()
    errors, followed = [], 0
    for _ in range(40):
        outcome = patient.show()
        assert outcome.verdict.accepted
        followed += outcome.result.followed
        assert off(outcome.verdict.held.motion, patient.truth(patient.time)) < 0.5
        for ahead in (0, 40_000_000, 90_000_000):
            moment = patient.guidance.at(patient.time + ahead)
            errors.append(off(moment.predicted.motion, patient.truth(patient.time + ahead)))
    assert followed >= 38
    assert np.sqrt(np.mean(np.square(errors))) < 1.0


def test_three_good_images_before_anything_is_shown(patient):
    assert [patient.show().verdict.reason for _ in range(3)] == ["CONFIRMING", "CONFIRMING", ""]


def test_registration_rejected_holds_then_falls_silent(patient):
    last = patient.track().verdict.held.motion
    states = []
    for _ in range(8):
        outcome = patient.show(BLACK)
        assert not outcome.verdict.accepted and outcome.verdict.reason
        assert outcome.verdict.held is None or np.array_equal(outcome.verdict.held.motion, last)
        states.append(outcome.verdict.state)
    assert states == [State.HOLDING] * 5 + [State.LOST] * 3
    assert patient.shows_nothing()
    assert patient.track().verdict.accepted


def test_the_state_expires_when_nothing_comes(patient):
    patient.track()
    patient.time += SECOND // 2 + 1
    assert patient.state() is State.LOST and patient.shows_nothing()


def test_no_prediction_beyond_its_horizon(patient):
    patient.track()
    for _ in range(5):
        patient.show()
    assert patient.guidance.at(patient.time + 290_000_000).predicted is not None
    moment = patient.guidance.at(patient.time + 310_000_000)
    assert moment.predicted is None and moment.held is not None


def test_plane_outside_the_volume_asks_nobody_and_shows_nothing(patient):
    patient.track()
    away = from_motion([500.0, 500.0, 500.0, 0.0, 0.0, 0.0]) @ POSE
    outcome = patient.show(patient.picture(), pose=away)
    assert outcome.verdict.reason == "OUT_OF_VOLUME" and not outcome.verdict.accepted
    np.testing.assert_allclose(outcome.tracked, away, atol=2e-6)


def test_transform_missing_drops_the_image(patient):
    patient.track()
    patient.time += PERIOD
    arrival = patient.guidance.receive(patient.time)
    outcome = patient.guidance.on_image(arrival, patient.picture(), lambda _: None)
    assert (outcome.verdict.reason, outcome.verdict.state) == ("NO_TRANSFORM", State.HOLDING)
    assert outcome.result is None and outcome.tracked is None


def test_images_stop_and_that_is_said_once(patient):
    patient.track()
    assert patient.guidance.watch() is None
    patient.time += SECOND + 1
    outcome = patient.guidance.watch()
    assert (outcome.verdict.reason, outcome.verdict.state) == ("IMAGE_STALE", State.LOST)
    assert patient.guidance.watch() is None
    patient.track()
    patient.time += 2 * SECOND
    assert patient.guidance.watch() is not None


@pytest.mark.parametrize("kind", ["DUPLICATE", "OUT_OF_ORDER", "ZERO_STAMP", "FAR_FUTURE", "WRONG_SIZE", "UNREADABLE"])
def test_refused_images_that_keep_coming_keep_nothing_alive(patient, kind):
    patient.track()
    last = patient.time
    stamps = {"DUPLICATE": last, "OUT_OF_ORDER": last - SECOND, "ZERO_STAMP": 0, "FAR_FUTURE": last + 3600 * SECOND}
    states = []
    for _ in range(11):
        if kind == "WRONG_SIZE":
            outcome = patient.show(np.zeros((3, 4), np.uint8))
        elif kind == "UNREADABLE":
            patient.time += PERIOD
            outcome = patient.guidance.refuse(patient.guidance.receive(patient.time), Refusal.UNREADABLE)
        else:
            outcome = patient.show(stamp=stamps[kind])
        assert outcome.verdict.reason == kind and not outcome.verdict.accepted
        states.append(outcome.verdict.state)
    assert State.LOST not in states[:5] and states[5:] == [State.LOST] * 6
    assert patient.shows_nothing()
    assert patient.guidance.watch() is not None
    assert patient.track().verdict.accepted  # one bad stamp never poisons those after it


def test_identical_images_are_never_a_new_measurement(patient):
    patient.track()
    picture = patient.picture()
    first = patient.show(picture)
    assert first.verdict.accepted
    outcomes = [patient.show(picture) for _ in range(6)]
    assert {outcome.verdict.reason for outcome in outcomes} == {"FROZEN"}
    assert not any(outcome.verdict.accepted or outcome.result for outcome in outcomes)
    ages = [outcome.verdict.age for outcome in outcomes]
    assert ages == sorted(ages) and ages[-1] == pytest.approx(0.6)
    assert outcomes[-1].verdict.state is State.LOST


def test_identical_images_while_the_arm_moves_are_not_trusted_for_a_moment(patient):
    patient.track()
    picture = patient.picture()
    patient.show(picture)
    moved = POSE @ displacement((5.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    outcome = patient.show(picture, pose=moved)
    assert (outcome.verdict.reason, outcome.verdict.state) == ("FROZEN", State.HOLDING)


def test_clock_jumps_back_and_nothing_of_before_counts(patient):
    patient.track()
    before = patient.guidance.receive(patient.time + 1)
    patient.time -= 100 * SECOND
    patient.guidance.on_jump()
    assert patient.state() is State.WAITING and patient.shows_nothing()
    late = patient.guidance.on_image(before, patient.picture(), lambda _: POSE)
    assert (late.verdict.reason, late.verdict.accepted) == ("CLOCK_JUMP", False)
    assert [patient.show().verdict.reason for _ in range(3)] == ["CONFIRMING", "CONFIRMING", ""]


def test_a_result_for_a_volume_that_was_replaced_meanwhile_is_discarded(patient, volume):
    patient.track()
    patient.time += PERIOD
    arrival = patient.guidance.receive(patient.time)

    def replaced_meanwhile(_):
        patient.guidance.on_volume(str(volume))
        return POSE

    outcome = patient.guidance.on_image(arrival, patient.picture(), replaced_meanwhile)
    assert (outcome.verdict.reason, outcome.verdict.accepted) == ("NEW_VOLUME", False)
    assert outcome.result is None and patient.shows_nothing()
    assert patient.show().verdict.reason == "CONFIRMING"


def test_a_result_that_comes_too_late_is_not_shown(patient):
    patient.track()
    patient.time += PERIOD
    arrival = patient.guidance.receive(patient.time)

    def slow(_):
        patient.time += SECOND
        return POSE

    outcome = patient.guidance.on_image(arrival, patient.picture(), slow)
    assert (outcome.verdict.reason, outcome.verdict.state) == ("LATE", State.LOST)


def test_failure_in_the_registration_is_a_latched_fault(patient, monkeypatch):
    patient.track()

    def fails(*_):
        raise MemoryError("no room")

    monkeypatch.setattr("deeprs2v_ros.registration.tracker.Tracker.register_frame", fails)
    outcome = patient.show()
    assert outcome.verdict.state is State.FAULT and "no room" in outcome.verdict.reason
    monkeypatch.undo()
    assert patient.show().verdict.state is State.FAULT and patient.shows_nothing()


def test_corrupt_volume_is_said_and_a_good_one_taken_after_it(make_patient, tmp_path, volume):
    patient = make_patient()
    broken = tmp_path / "broken.mha"
    broken.write_bytes(volume.read_bytes()[:5000])
    patient.guidance.on_volume(str(broken))
    assert patient.show().verdict.reason == "NO_VOLUME"
    assert any("broken.mha" in line for line in patient.lines)
    patient.guidance.on_volume(str(volume))
    assert patient.track().verdict.accepted


class Later:
    """An executor that does what it has been given when it is told to."""

    def __init__(self):
        self.given = []

    def submit(self, work, *arguments):
        self.given.append((Future(), work, arguments))
        return self.given[-1][0]

    def run(self):
        """Do it; returns how many things were done."""
        done = 0
        for future, work, arguments in self.given:
            if future.set_running_or_notify_cancel():
                future.set_result(work(*arguments))
                done += 1
        self.given.clear()
        return done


def test_of_many_volumes_only_the_last_is_read(make_patient, volume):
    background = Later()
    patient = make_patient(background)
    for _ in range(100):
        patient.guidance.on_volume(str(volume))
    assert patient.show().verdict.reason == "STARTING"
    assert background.run() == 1
    assert patient.track().verdict.accepted


def test_weights_that_cannot_be_used_are_not_taken_for_a_missing_volume(make_patient, volume, monkeypatch):
    patient = make_patient()

    def fails(*_):
        raise WeightsError("small.safetensors: its weights hold NaN")

    monkeypatch.setattr("deeprs2v_ros.registration.preparation.make_tracker", fails)
    patient.guidance.on_volume(str(volume))
    assert [patient.show().verdict.reason for _ in range(2)] == ["NO_WEIGHTS"] * 2
    assert any("small.safetensors" in line for line in patient.lines)
    monkeypatch.undo()
    patient.guidance.on_volume(str(volume))
    assert patient.track().verdict.accepted


def test_a_wrong_summit_is_found_out_by_a_second_look(patient, monkeypatch):
    """Frames are followed to a place 19 mm off, as if the summit there were high enough for the gate."""
    patient.track()
    wrong = from_motion([15.0, 12.0, 0.0, 0.0, 0.0, 0.0])
    tracker = patient.guidance._preparation.ready.tracker
    follow = tracker._follow

    def misled(*arguments):
        return replace(follow(*arguments), reason=Reason.NONE, registered=wrong @ patient.truth(patient.time) @ POSE)

    monkeypatch.setattr(tracker, "_follow", misled)
    monkeypatch.setattr(tracker, "_as_usual", lambda _: True)
    states = []
    while not any("CONTRADICTED" in line for line in patient.lines):
        patient.show()
        states.append(patient.state())
        assert len(states) < 12  # within a second
    assert State.TRACKING in states and states[-1] is State.LOST and patient.shows_nothing()
    monkeypatch.undo()
    assert patient.show().verdict.state is State.INITIALISING
    assert off(patient.track().verdict.held.motion, patient.truth(patient.time)) < 0.5


def test_the_same_images_give_the_same_outcomes_bit_for_bit(make_patient):
    def run():
        patient = make_patient()
        outcomes = [patient.show() for _ in range(12)]
        return [
            (o.verdict.state, o.result.registered.tobytes(), o.predicted and o.predicted.motion.tobytes())
            for o in outcomes
        ]

    assert run() == run()


MM = (22.0, 18.0, 14.0)


def moved(sign):
    """A pose of the probe, so that the organ seems to be moved by as much."""
    return from_motion([*(sign * np.array(MM)), 0.0, 0.0, 0.0]) @ POSE


def offer(patient, locate):
    patient.time += PERIOD
    arrival = patient.guidance.receive(patient.time)
    return patient.guidance.on_image(arrival, patient.picture(), locate)


def test_clock_jumps_back_while_an_image_waits_for_its_transform(make_patient):
    patient = make_patient()
    for _ in range(4):
        outcome = offer(patient, lambda _: moved(1.0))
    assert outcome.verdict.state is State.TRACKING

    def jumps(_):
        patient.time -= 100 * SECOND
        patient.guidance.on_jump()
        return moved(1.0)

    assert offer(patient, jumps).verdict.reason == "CLOCK_JUMP"
    for _ in range(20):
        outcome = offer(patient, lambda _: moved(-1.0))
    assert outcome.verdict.state is State.TRACKING


@pytest.mark.parametrize(
    "covariance", [np.full((6, 6), np.nan), np.diag([np.inf] * 6), -np.eye(6)], ids=["NaN", "infinite", "negative"]
)
def test_a_covariance_of_the_arm_that_is_none_is_refused(make_patient, covariance):
    patient = make_patient()
    patient.time += PERIOD
    arrival = patient.guidance.receive(patient.time)
    outcome = patient.guidance.on_image(arrival, patient.picture(), lambda _: POSE, covariance)
    assert outcome.verdict.state is not State.FAULT
    assert patient.track()


def test_images_of_a_clock_that_was_set_back_are_taken_again_soon(make_patient):
    patient = make_patient()
    patient.track()
    patient.time -= 900 * SECOND
    assert any(patient.show().verdict.accepted for _ in range(50))


def test_what_was_tracked_ends_with_the_clock_that_is_set_back_also_if_no_image_comes_any_more(patient):
    patient.track()
    patient.time -= 900 * SECOND
    outcome = patient.guidance.watch()
    assert (outcome.verdict.reason, outcome.verdict.state) == ("CLOCK_JUMP", State.WAITING)
    assert patient.shows_nothing()


def test_the_end_of_holding_is_said_also_after_a_first_good_image_again(patient):
    patient.track()
    patient.show(BLACK)
    outcome = patient.show()
    assert (outcome.verdict.reason, outcome.verdict.state) == ("CONFIRMING", State.HOLDING)
    patient.time += SECOND // 2
    assert patient.state() is not State.HOLDING
    assert patient.guidance.watch().verdict.state is patient.state()
    assert patient.guidance.watch() is None


@pytest.mark.parametrize("since", ["expired", "contradicted", "fault"])
def test_what_is_not_true_any_more_when_it_is_said_shows_nothing(patient, since):
    patient.track()
    outcome = patient.show()
    assert outcome.verdict.accepted and patient.guidance.still_true(outcome) is outcome
    if since == "expired":  # the process was suspended
        patient.time += SECOND
    elif since == "fault":
        patient.guidance.fault(MemoryError("no room"))
    else:
        patient.guidance._supervisor.distrust("CONTRADICTED")
    said = patient.guidance.still_true(outcome)
    assert said.verdict.state is patient.state() is not State.TRACKING
    assert not said.verdict.accepted and said.verdict.reason and said.verdict.held is None and said.predicted is None
    assert patient.guidance.watch() is None


def test_time_goes_back_after_the_organ_was_forgotten():
    tracker = Tracker(SPHERES, fan(), IMAGE_FROM_PIXEL)
    times = (10.0, 10.1, 11.5, 11.6, 5.0)
    for count, time in enumerate(times):
        dark = 11.0 < time < 12.0
        picture = np.zeros(SHAPE, np.uint8) if dark else cut_frame(SPHERES, POSE, seed=count)
        result = tracker.register_frame(picture, POSE, round(time * SECOND))
        assert result.accepted is not dark
