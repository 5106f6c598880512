from dataclasses import replace

import cv2
import numpy as np
import pytest
from phantoms import CENTRE, IMAGE_FROM_PIXEL, SHAPE, cut_frame, displacement, fan, middle_pose, phantom
from scipy import ndimage

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import about, apply, from_motion, geodesic_distance, inverse, to_motion
from deeprs2v_ros.imaging.beams import behind_wall
from deeprs2v_ros.imaging.volume import Volume
from deeprs2v_ros.registration.gate import Reason, Signals, judge
from deeprs2v_ros.registration.settings import GateSettings, RegistrationSettings
from deeprs2v_ros.registration.tracker import Tracker

STARTS = [(9, -8, 4, 4, -3, 8), (-7, 6, -5, -5, 4, -9), (3, 10, 5, 2, 5, 3), (15, 10, -9, 8, -7, 15)]


@pytest.fixture(scope="module")
def spheres():
    return phantom("spheres")


@pytest.fixture(scope="module")
def tracker(spheres):
    return Tracker(spheres, fan(), IMAGE_FROM_PIXEL, temporal=False)


def errors(truth, result):
    shift = np.linalg.norm(apply(truth, CENTRE) - apply(result, CENTRE))
    return shift, np.degrees(geodesic_distance(truth[:3, :3], result[:3, :3]))


@pytest.mark.parametrize("start", STARTS)
def test_a_displaced_frame_is_brought_home(spheres, tracker, start):
    truth = middle_pose(spheres, (2, 3, -4, 5, -6, 7))
    result = tracker.register_frame(cut_frame(spheres, truth), truth @ displacement(start))
    millimetres, degrees = errors(truth, result.registered)
    assert result.accepted
    assert millimetres < 0.15
    assert degrees < 0.15
    assert result.signals.lncc > result.lncc_before


def test_result_is_a_rigid_transform_and_d_and_c_agree_with_it(spheres, tracker):
    truth = middle_pose(spheres)
    tracked = truth @ displacement(STARTS[0])
    result = tracker.register_frame(cut_frame(spheres, truth), tracked)
    assert np.allclose(result.registered[:3, :3] @ result.registered[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.allclose(tracked @ result.correction, result.registered)
    assert np.allclose(result.motion @ tracked, result.registered)


def test_tissue_is_found_where_the_frame_shows_it(spheres, tracker):
    """A point of the volume at y = Y p shows at p of the image, which is X p in the volume frame: C^-1 y."""
    truth = middle_pose(spheres)
    tracked = truth @ displacement(STARTS[0])
    result = tracker.register_frame(cut_frame(spheres, truth), tracked)
    shown_at = np.array([60.0, 40.0, 0.0])
    tissue = apply(truth, shown_at)
    assert np.allclose(apply(inverse(result.motion), tissue), apply(tracked, shown_at), atol=0.3)


def test_same_input_gives_the_same_output_bit_for_bit(spheres, tracker):
    truth = middle_pose(spheres)
    frame, start = cut_frame(spheres, truth), truth @ displacement(STARTS[1])
    first, second = tracker.register_frame(frame, start), tracker.register_frame(frame, start)
    assert np.array_equal(first.registered, second.registered)
    assert np.array_equal(first.covariance, second.covariance)


def test_moving_volume_and_frames_together_moves_the_result_with_them(spheres, tracker):
    motion = from_motion([20.0, -35.0, 50.0, 0.7, -0.4, 1.1])
    moved_pose = motion @ spheres.volume_from_voxel
    moved = Volume(spheres.array, spheres.spacing, moved_pose[:3, 3], motion[:3, :3] @ spheres.direction)
    elsewhere = Tracker(moved, fan(), IMAGE_FROM_PIXEL, temporal=False)
    truth = middle_pose(spheres)
    frame, start = cut_frame(spheres, truth), truth @ displacement(STARTS[2])
    here, there = tracker.register_frame(frame, start), elsewhere.register_frame(frame, motion @ start)
    assert np.allclose(motion @ here.registered, there.registered, atol=1e-3)


def test_motion_of_the_organ_is_carried_to_the_next_frame(spheres):
    """The organ ends farther away than one frame could be followed; the probe moves too."""
    tracker = Tracker(spheres, fan(), IMAGE_FROM_PIXEL, temporal=True)
    for step in range(8):
        tracked = middle_pose(spheres, (2.0 * step, 0, 3, 0, 2.0 * step, 0))
        truth = from_motion([4.0 * step, -3.0 * step, 0, 0, 0, 0.01 * step]) @ tracked
        result = tracker.register_frame(cut_frame(spheres, truth, seed=step), tracked)
        assert result.accepted
        assert errors(truth, result.registered)[0] < 0.3
        assert errors(truth, result.prior)[0] < 10.0
    tracker.reset()
    assert np.array_equal(tracker.motion, np.eye(4))


def test_an_organ_that_jumps_at_every_frame_is_searched_where_it_was_and_not_where_a_velocity_would_lead(spheres):
    tracker = Tracker(spheres, fan(), IMAGE_FROM_PIXEL)
    truth, rng = middle_pose(spheres), np.random.default_rng(4)
    for step in range(12):
        tracked = truth @ displacement(tuple(rng.uniform(-1.0, 1.0, 6) * [8, 8, 4, 4, 4, 8]))
        result = tracker.register_frame(cut_frame(spheres, truth, seed=step), tracked, step * 100_000_000)
        assert result.accepted
        assert errors(truth, result.registered)[0] < 0.3


def test_rejected_frame_does_not_move_the_prior(spheres):
    tracker = Tracker(spheres, fan(), IMAGE_FROM_PIXEL, temporal=True)
    truth = middle_pose(spheres)
    assert tracker.register_frame(cut_frame(spheres, truth), truth @ displacement(STARTS[0])).accepted
    carried = tracker.motion.copy()
    noise = np.random.default_rng(0).integers(0, 255, fan().shape, dtype=np.uint8)
    assert not tracker.register_frame(noise, truth).accepted
    assert np.array_equal(tracker.motion, carried)


def test_frame_of_another_phantom_is_rejected(tracker, spheres):
    other = phantom("spheres", seed=9)
    for start in STARTS:
        frame = cut_frame(other, middle_pose(other, start))
        assert not tracker.register_frame(frame, middle_pose(spheres)).accepted


def test_plane_outside_the_volume_is_out_of_volume(tracker, spheres):
    result = tracker.register_frame(
        cut_frame(spheres, middle_pose(spheres)), middle_pose(spheres, (0, 0, 200, 0, 0, 0))
    )
    assert result.reason is Reason.OUT_OF_VOLUME
    assert np.isfinite(result.registered).all()


def test_frame_half_outside_the_volume_is_still_registered(tracker, spheres):
    truth = middle_pose(spheres, (55, 0, 0, 0, 0, 0))
    result = tracker.register_frame(cut_frame(spheres, truth), truth @ displacement((6, -5, 3, 3, 2, -5)))
    assert result.signals.overlap < 0.8  # of what is visible: the frame's dark side counts as a shadow
    assert errors(truth, result.registered)[0] < 0.3


def test_what_is_the_same_all_along_z_is_ill_conditioned():
    columns = phantom("columns")
    tracker = Tracker(columns, fan(), IMAGE_FROM_PIXEL, temporal=False)
    result = tracker.register_frame(cut_frame(columns, middle_pose(columns)), middle_pose(columns, (2, 1, 4, 0, 0, 2)))
    assert result.reason in (Reason.ILL_CONDITIONED, Reason.AMBIGUOUS)
    sigma_x, sigma_y, sigma_z = np.sqrt(np.diag(result.covariance)[:3])
    assert sigma_z > 5 * max(sigma_x, sigma_y)


def test_what_repeats_itself_is_ambiguous():
    wires = phantom("grid of wires")
    tracker = Tracker(wires, fan(), IMAGE_FROM_PIXEL, temporal=False)
    truth = middle_pose(wires, (0, 0, 0, 10, 0, 0))
    result = tracker.register_frame(cut_frame(wires, truth), truth @ displacement((7, 5, 0, 0, 0, 0)))
    assert not result.accepted


def test_covariance_is_positive_and_grows_with_noise(tracker, spheres):
    truth = middle_pose(spheres)
    clean, noisy = (tracker.register_frame(cut_frame(spheres, truth, noise=n), truth).covariance for n in (0.05, 0.6))
    assert np.linalg.eigvalsh(clean).min() > 0
    assert np.trace(noisy) > 2 * np.trace(clean)


def deformed(frame, seed):
    """The frame with a smooth deformation, of 1.5 mm along each axis, that shifts it by nothing on average."""
    fields = np.random.default_rng(seed).standard_normal((2, *SHAPE))
    fields = np.stack([ndimage.gaussian_filter(field, 25) for field in fields])
    fields -= fields[:, fan()].mean(axis=1)[:, None, None]
    x, y = fields * 1.5 / 0.5 / fields.std(axis=(1, 2), keepdims=True)
    rows, columns = np.indices(SHAPE)
    return cv2.remap(frame, (columns + x).astype(np.float32), (rows + y).astype(np.float32), cv2.INTER_LINEAR)


def test_the_covariance_covers_the_error_of_a_deformed_anatomy(tracker, spheres):
    distances = []
    for seed in range(8):
        truth = middle_pose(spheres, (3 * seed % 7 - 3, 0, 2 * seed % 5 - 2, 5 * (seed % 3) - 5, 0, 0))
        result = tracker.register_frame(deformed(cut_frame(spheres, truth, seed, 0.3), seed), truth)
        error = to_motion(about(-CENTRE, inverse(result.registered) @ truth))
        distances.append(error @ np.linalg.solve(result.covariance, error) / 6.0)
    assert 0.2 < np.mean(distances) < 4.0


GOOD = Signals(lncc=0.8, overlap=0.9, margin=0.5, sigma=0.1, surprise=1.0, translation=5.0, rotation=3.0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, Reason.NONE),
        ({"overlap": 0.1}, Reason.OUT_OF_VOLUME),
        ({"lncc": 0.1}, Reason.LOW_LNCC),
        ({"translation": 60.0}, Reason.IMPLAUSIBLE_JUMP),
        ({"rotation": 60.0}, Reason.IMPLAUSIBLE_JUMP),
        ({"sigma": 9.0}, Reason.ILL_CONDITIONED),
        ({"margin": 0.0}, Reason.AMBIGUOUS),
        ({"lncc": float("nan")}, Reason.LOW_LNCC),
        ({"sigma": float("nan")}, Reason.ILL_CONDITIONED),
    ],
)
def test_gate_names_the_reason(change, reason):
    assert judge(replace(GOOD, **change), GateSettings()) is reason


def test_the_abdominal_wall_which_stays_where_it_is_does_not_hold_the_organ_back(spheres):
    """The upper part of the frame shows what is where the probe is tracked to be, the rest has moved."""
    tracked = middle_pose(spheres)
    truth = tracked @ displacement((6, 2, 3, 1, -2, 4))
    frame = cut_frame(spheres, truth)
    wall = fan() & ~behind_wall(fan(), (0.5, 0.5), 14.0)
    frame[wall] = cut_frame(spheres, tracked)[wall]
    off = {}
    for thickness in (0.0, 15.0):
        settings = RegistrationSettings(abdominal_wall=thickness)
        result = Tracker(spheres, fan(), IMAGE_FROM_PIXEL, settings, temporal=False).register_frame(frame, tracked)
        off[thickness] = errors(truth, result.registered)
    assert off[15.0][0] < 0.15 and off[15.0][1] < 0.15
    assert off[0.0][1] > 2 * off[15.0][1]


@pytest.mark.parametrize("thickness", [-1.0, np.nan, 500.0])
def test_a_wall_that_cannot_be_is_refused(spheres, thickness):
    with pytest.raises(InputError, match="abdominal_wall"):
        Tracker(spheres, fan(), IMAGE_FROM_PIXEL, RegistrationSettings(abdominal_wall=thickness))
