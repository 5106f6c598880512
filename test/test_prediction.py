"""The organ's motion ahead of time: what is extrapolated, what is learned, when it falls silent, how honest it is."""

import numpy as np
import pytest

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import about, apply, from_motion, geodesic_distance, inverse, seen_from, to_motion
from deeprs2v_ros.registration.prediction import MotionPredictor, PredictionSettings
from deeprs2v_ros.simulation.breathing import Breathing

CENTRE = np.array([0.0, 70.0, 0.0])
POINT = CENTRE + np.array([12.0, 0.0, 16.0])
SIGMA = np.array([0.3] * 3 + [np.radians(0.4)] * 3)
COVARIANCE = np.diag(SIGMA**2)
EXACT = np.diag([1e-4**2] * 3 + [1e-6**2] * 3)


MODELLED = PredictionSettings(unmodelled=1e-6)


def ns(seconds):
    return round(seconds * 1e9)


def along(velocity, time):
    return about(CENTRE, from_motion(time * np.asarray(velocity)))


def breathing(time):
    return inverse(Breathing(seed=4).rigid(time))


def noisy(motion, rng, sigma=SIGMA):
    return about(CENTRE, from_motion(rng.normal(size=6) * sigma)) @ motion


def fed(times, motion, rng=None, predictor=None, covariance=COVARIANCE):
    predictor = predictor or MotionPredictor(CENTRE)
    for time in times:
        predictor.update(ns(time), motion(time) if rng is None else noisy(motion(time), rng), covariance)
    return predictor


def error(prediction, truth):
    return apply(prediction.motion, apply(inverse(truth), POINT)) - POINT


def shares_inside(motion, rate, length, settings=None, seed=0):
    """Errors (N, 3) and their squared Mahalanobis distances, asked up to 0.2 s after each measurement."""
    rng = np.random.default_rng(seed)
    predictor = MotionPredictor(CENTRE, settings)
    to_point = seen_from(POINT - CENTRE)[:3]
    errors, distances = [], []
    for time in np.arange(0.0, length, 1.0 / rate) + rng.uniform(0.0, 0.3 / rate, size=round(length * rate)):
        predictor.update(ns(time), noisy(motion(time), rng), COVARIANCE)
        for ahead in (0.0, 0.05, 0.1, 0.2):
            prediction = predictor.predict(ns(time + ahead))
            if prediction is not None:
                off = error(prediction, motion(time + ahead))
                errors.append(off)
                distances.append(off @ np.linalg.solve(to_point @ prediction.covariance @ to_point.T, off))
    return np.array(errors), np.array(distances)


def test_nothing_is_predicted_from_nothing():
    predictor = MotionPredictor(CENTRE)
    assert predictor.predict(0) is None
    assert predictor.expect(0) is None


def test_one_measurement_is_held_and_grows_uncertain_as_fast_as_breathing_may_be():
    where = about(CENTRE, from_motion([3.0, -2.0, 9.0, 0.1, 0.0, -0.05]))
    predictor = fed([5.0], lambda t: where, predictor=MotionPredictor(CENTRE, MODELLED))
    now, later = predictor.predict(ns(5.0)), predictor.predict(ns(5.25))
    np.testing.assert_allclose(later.motion, where, atol=1e-9)
    np.testing.assert_allclose(now.covariance, COVARIANCE, rtol=1e-6, atol=1e-9)
    grown = np.sqrt(np.diag(later.covariance)[:3]) / 0.25
    assert (grown > 10.0).all()  # mm/s
    assert (grown < 60.0).all()
    assert later.horizon == pytest.approx(0.25)
    assert np.isnan(later.recent_error)


def test_two_measurements_give_a_velocity():
    velocity = [0.0, 4.0, -15.0, 0.03, 0.0, 0.02]
    predictor = fed([0.0, 0.1], lambda t: along(velocity, t), covariance=EXACT)
    moved = np.linalg.norm(error(predictor.predict(ns(0.2)), along(velocity, 0.2)))
    assert moved < 0.5  # holding would be 1.6


@pytest.mark.parametrize("rate", [3.0, 10.0, 30.0])
def test_constant_velocity_is_carried_on_exactly(rate):
    velocity = [1.0, 4.0, -12.0, 0.02, 0.0, 0.01]
    times = np.arange(0.0, 4.0, 1.0 / rate)
    predictor = fed(times, lambda t: along(velocity, t), covariance=EXACT)
    for ahead in (-0.1, 0.0, 0.1, 0.3):
        prediction = predictor.predict(ns(times[-1] + ahead))
        np.testing.assert_allclose(prediction.motion, along(velocity, times[-1] + ahead), atol=2e-3)


def test_breathing_is_predicted_better_than_by_holding_or_by_constant_velocity():
    rng = np.random.default_rng(1)
    predictor, errors, before = MotionPredictor(CENTRE), [], None
    for time in np.arange(0.0, 60.0, 0.1):
        measured = noisy(breathing(time), rng)
        predictor.update(ns(time), measured, COVARIANCE)
        if time > 20.0:
            truth = breathing(time + 0.1)
            step = measured @ inverse(before)
            errors.append([error(predictor.predict(ns(time + 0.1)), truth)])
            errors[-1] += [apply(each, apply(inverse(truth), POINT)) - POINT for each in (measured, step @ measured)]
        before = measured
    predicted, held, extrapolated = np.sqrt(np.mean(np.sum(np.array(errors) ** 2, axis=2), axis=0))
    assert predicted < 0.6 * held
    assert predicted < 0.6 * extrapolated


def test_breathing_is_learned():
    """Minutes of the patient's own breathing make predictions better than the first breath does."""
    errors, _ = shares_inside(lambda t: inverse(Breathing(irregularity=0.05).rigid(t)), 10.0, 64.0)
    squares = np.sum(errors**2, axis=1)
    assert np.sqrt(squares[-len(squares) // 2 :].mean()) < 0.85 * np.sqrt(squares[: len(squares) // 8].mean())


@pytest.mark.parametrize(
    ("pattern", "rate"),
    [("breathing", 3.0), ("breathing", 10.0), ("breathing", 30.0), ("still", 10.0), ("irregular", 10.0)],
)
def test_the_ellipsoid_holds_as_many_true_positions_as_it_says(pattern, rate):
    organ = {
        "breathing": Breathing(seed=8),
        "still": Breathing(seed=8, amplitude_mm=0.0),
        "irregular": Breathing(seed=8, irregularity=0.4),
    }[pattern]
    _, distances = shares_inside(lambda t: inverse(organ.rigid(t)), rate, 50.0, MODELLED)
    assert 0.89 < np.mean(distances < 7.815) <= (1.0 if pattern == "still" else 0.995)


def test_what_no_registration_sees_is_told_however_often_it_was_measured():
    times = np.arange(0.0, 10.0, 0.1)
    sure, told = (
        fed(times, breathing, predictor=MotionPredictor(CENTRE, PredictionSettings(unmodelled=mm))).predict(ns(10.0))
        for mm in (1e-6, 2.0)
    )
    np.testing.assert_allclose(told.covariance - sure.covariance, np.diag([4.0] * 3 + [0.0] * 3), atol=1e-9)


def test_it_grows_less_sure_with_the_horizon():
    predictor = fed(np.arange(0.0, 20.0, 0.1), breathing, np.random.default_rng(2))
    sizes = [np.trace(predictor.predict(ns(19.9 + ahead)).covariance[:3, :3]) for ahead in (0.0, 0.1, 0.2, 0.3)]
    assert (np.diff(sizes) > 0.0).all()


@pytest.mark.parametrize("start", [20.6, 21.0, 22.3])  # going in, further in, going out
def test_a_breath_that_is_held_is_noticed_within_a_few_images(start):
    def held(time):
        return breathing(min(time, start))

    predictor = MotionPredictor(CENTRE)
    rng, errors = np.random.default_rng(3), []
    for time in np.arange(0.0, start + 3.0, 0.1):
        predictor.update(ns(time), noisy(held(time), rng), COVARIANCE)
        if time > start + 0.55:
            errors.append(np.linalg.norm(error(predictor.predict(ns(time + 0.2)), held(time))))
    assert max(errors) < 2.0
    assert np.mean(errors[5:]) < 0.6


def test_one_outlier_hardly_moves_it():
    predictor = fed(np.arange(0.0, 20.0, 0.1), breathing, np.random.default_rng(4))
    predictor.update(ns(20.0), about(CENTRE, from_motion([4.0, 0.0, 0.0, 0.0, 0.0, 0.0])) @ breathing(20.0), COVARIANCE)
    assert np.linalg.norm(error(predictor.predict(ns(20.0)), breathing(20.0))) < 2.5
    fed([20.1, 20.2, 20.3], breathing, np.random.default_rng(5), predictor)
    assert np.linalg.norm(error(predictor.predict(ns(20.3)), breathing(20.3))) < 1.0


def test_it_is_silent_beyond_the_horizon_but_still_expects_something():
    predictor = fed(np.arange(0.0, 10.0, 0.1), breathing)
    last = 9.9
    assert predictor.predict(ns(last + 0.299)) is not None
    assert predictor.predict(ns(last + 0.301)) is None
    assert predictor.predict(ns(last - 0.299)) is not None
    assert predictor.predict(ns(last - 0.301)) is None
    near, far = predictor.expect(ns(last + 0.5)), predictor.expect(ns(last + 3.0))
    np.testing.assert_array_equal(near.motion, far.motion)
    assert np.trace(far.covariance[:3, :3]) > np.trace(near.covariance[:3, :3]) + 3.0 * 29.0**2


def test_it_is_silent_while_it_errs_and_recovers():
    rng = np.random.default_rng(6)

    def jumping(time):
        return along([0.0, 0.0, 1.0, 0.0, 0.0, 0.0], 15.0 * rng.uniform() if 10.0 <= time < 12.0 else 0.0)

    predictor = MotionPredictor(CENTRE, PredictionSettings(maximum_error=3.0))
    answered = []
    times = np.arange(0.0, 20.0, 0.1)
    for time in times:
        predictor.update(ns(time), noisy(jumping(time), rng), COVARIANCE)
        prediction = predictor.predict(ns(time + 0.05))
        answered.append(prediction is not None)
        if prediction is not None:
            assert not prediction.recent_error > 3.0
    answered = np.array(answered)
    assert answered[times < 9.95].all()
    assert not answered[(times > 10.6) & (times < 11.95)].any()
    assert answered[times > 15.0].all()


def test_recent_error_is_what_predictions_were_off_by():
    predictor = fed(np.arange(0.0, 30.0, 0.1), breathing, np.random.default_rng(7))
    assert 0.2 < predictor.predict(ns(30.0)).recent_error < 2.0
    assert 0.0 < predictor.predict(ns(29.95)).recent_error <= predictor.predict(ns(30.15)).recent_error


def test_after_a_gap_it_starts_anew_but_remembers_breathing():
    predictor = fed(np.arange(0.0, 10.0, 0.1), breathing)
    predictor.update(ns(15.0), breathing(15.0), COVARIANCE)
    np.testing.assert_allclose(predictor.predict(ns(15.0)).covariance[:3, :3], COVARIANCE[:3, :3], rtol=0.5, atol=0.02)
    assert np.linalg.norm(error(predictor.predict(ns(15.0)), breathing(15.0))) < 1.0


@pytest.mark.parametrize("time", [0.2, 0.1, -4.0])
def test_times_that_do_not_grow_are_refused_by_name_and_change_nothing(time):
    predictor = fed([0.0, 0.1, 0.2], breathing)
    before = predictor.predict(ns(0.25))
    with pytest.raises(InputError, match="time"):
        predictor.update(ns(time), breathing(1.0), COVARIANCE)
    np.testing.assert_array_equal(before.motion, predictor.predict(ns(0.25)).motion)


@pytest.mark.parametrize("name", ["motion", "covariance"])
def test_numbers_that_are_not_finite_are_refused_by_name(name):
    given = {"motion": np.eye(4), "covariance": COVARIANCE.copy()}
    given[name] = given[name] * np.nan
    with pytest.raises(InputError, match=name):
        MotionPredictor(CENTRE).update(0, **given)


@pytest.mark.parametrize("values", [{"horizon": 0.0}, {"maximum_error": -1.0}, {"horizon": float("nan")}])
def test_impossible_settings_are_refused_by_name(values):
    with pytest.raises(InputError, match=next(iter(values))):
        PredictionSettings(**values)


def test_the_frame_of_the_volume_does_not_matter():
    """With the volume's frame, the centre and the axes of covariances moved along, predictions are the same motion."""
    moved = from_motion([300.0, -200.0, 80.0, 0.8, -1.1, 0.4])
    turn = np.kron(np.eye(2), moved[:3, :3])
    covariance = np.diag([0.2, 0.3, 0.6, 0.004, 0.008, 0.012]) ** 2
    here, there = MotionPredictor(CENTRE), MotionPredictor(apply(moved, CENTRE))
    rng = np.random.default_rng(8)
    for time in np.arange(0.0, 15.0, 0.1):
        motion = noisy(breathing(time), rng)
        here.update(ns(time), motion, covariance)
        there.update(ns(time), moved @ motion @ inverse(moved), turn @ covariance @ turn.T)
    for ahead in (-0.1, 0.05, 0.3):
        first, second = here.predict(ns(14.9 + ahead)), there.predict(ns(14.9 + ahead))
        np.testing.assert_allclose(second.motion, moved @ first.motion @ inverse(moved), atol=1e-6)
        np.testing.assert_allclose(second.covariance, turn @ first.covariance @ turn.T, atol=1e-8)
        assert first.recent_error == pytest.approx(second.recent_error)


def test_a_large_constant_motion_does_not_matter():
    """Predictions follow small motions on top of the first one, wherever that is."""
    shifted = about(CENTRE, from_motion([20.0, 5.0, -8.0, 0.3, -0.4, 0.2]))
    near, far = (fed(np.arange(0.0, 15.0, 0.1), lambda t, by=by: breathing(t) @ by) for by in (np.eye(4), shifted))
    expected, found = near.predict(ns(15.1)), far.predict(ns(15.1))
    np.testing.assert_allclose(found.motion, expected.motion @ shifted, atol=1e-6)
    np.testing.assert_allclose(found.covariance, expected.covariance, atol=1e-8)


def test_the_covariance_is_that_of_a_small_motion_about_the_centre_in_volume_axes():
    """The same measurement again and again is averaged: direction by direction, wherever the organ was displaced to."""
    covariance = np.diag([0.1, 0.2, 0.4, 0.002, 0.004, 0.008]) ** 2
    rng, found = np.random.default_rng(9), []
    for _ in range(400):
        predictor = MotionPredictor(CENTRE, MODELLED)
        truth = about(CENTRE, from_motion([0.0, 0.0, 25.0, 0.0, 0.2, 0.0]))
        predictor.update(0, np.eye(4), covariance)
        predictor.update(ns(0.9), noisy(truth, rng, np.sqrt(np.diag(covariance))), covariance)
        prediction = predictor.expect(ns(0.9))
        found.append(to_motion(about(-CENTRE, truth @ inverse(prediction.motion))))
    np.testing.assert_allclose(np.std(found, axis=0), np.sqrt(np.diag(prediction.covariance)), rtol=0.25)


def test_the_same_measurements_give_the_same_predictions_also_after_a_reset():
    times = np.arange(0.0, 12.0, 0.1)
    first = fed(times, breathing, np.random.default_rng(10))
    again = fed(np.arange(0.0, 5.0, 0.3), breathing)
    again.reset()
    assert again.predict(ns(5.0)) is None
    fed(times, breathing, np.random.default_rng(10), again)
    for ahead in (0.0, 0.13, 0.3):
        one, other = first.predict(ns(11.9 + ahead)), again.predict(ns(11.9 + ahead))
        np.testing.assert_array_equal(one.motion, other.motion)
        np.testing.assert_array_equal(one.covariance, other.covariance)
        assert geodesic_distance(one.motion[:3, :3], other.motion[:3, :3]) == 0.0


def test_asking_changes_nothing():
    times = np.arange(0.0, 6.0, 0.1)
    silent, asked = MotionPredictor(CENTRE), MotionPredictor(CENTRE)
    for time in times:
        for each in (silent, asked):
            each.update(ns(time), breathing(time), COVARIANCE)
        asked.predict(ns(time + 0.1))
        asked.expect(ns(time + 2.0))
    np.testing.assert_array_equal(silent.predict(ns(6.0)).motion, asked.predict(ns(6.0)).motion)
