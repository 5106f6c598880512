"""The time offset between images and arm: from motion known exactly, from simulated images, from a recording."""

import dataclasses

import cv2
import numpy as np
import pytest
import yaml
from scipy.spatial.transform import Rotation

from deeprs2v_ros.arm.timing import Path, estimate_offset
from deeprs2v_ros.cli.main import main
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import about, from_motion, split_pixel_transform
from deeprs2v_ros.imaging.mask import read_mask
from deeprs2v_ros.imaging.motion import ImageMotion, measure_motion
from deeprs2v_ros.imaging.sequence import Sequence, read_sequence, write_sequence
from deeprs2v_ros.simulation.anatomy import make_liver
from deeprs2v_ros.simulation.breathing import Breathing
from deeprs2v_ros.simulation.paths import pose_on_skin
from deeprs2v_ros.simulation.probe import CurvilinearProbe
from deeprs2v_ros.simulation.scanner import UltrasoundSimulator

POINTS = np.array([[x, y, 0.0] for y in (10.0, 30.0, 50.0, 70.0, 90.0) for x in (-40.0, -20.0, 0.0, 20.0, 40.0)])
BANDS = np.array([POINTS[:, 1] < 25.0, (POINTS[:, 1] > 25.0) & (POINTS[:, 1] < 60.0), POINTS[:, 1] > 60.0])


def hand(t, seed=0):
    """A hand that tilts, turns and slides to and fro, as a pose at time t."""
    rng = np.random.default_rng(seed)
    rate, phase = rng.uniform(1.5, 4.5, (2, 6)), rng.uniform(0.0, 6.0, (2, 6))
    size = np.array([3.0, 0.5, 4.0, 0.08, 0.03, 0.03])
    return from_motion((size * np.sin(rate * t + phase)).sum(axis=0))


def stamps(count, seed=0):
    """30 frames a second, of which some are missing."""
    return np.cumsum(np.random.default_rng(seed).choice([1, 2, 3], count, p=[0.6, 0.3, 0.1])) / 30.0


def shown(times, path, noise, seed=0):
    """What exact images of a path would show, point by point, plus noise of tissue and of registration."""
    rng = np.random.default_rng(seed)
    pairs = np.array([(i, j) for i in range(len(times)) for j in range(i + 1, min(i + 5, len(times)))])
    shifts, decorrelation = [], []
    away = POINTS - POINTS.mean(axis=0)
    lever = np.sqrt((away**2).sum(axis=1).mean())
    for i, j in pairs:
        second_from_first = np.linalg.inv(path(times[j])) @ path(times[i])
        moved = (np.column_stack([POINTS, np.ones(len(POINTS))]) @ second_from_first.T)[:, :3] - POINTS
        shifts.append([*moved.mean(axis=0)[:2], Rotation.from_matrix(second_from_first[:3, :3]).as_rotvec()[2] * lever])
        decorrelation.append([0.6 * (0.02 + np.sqrt((moved[band, 2] ** 2).mean())) ** 1.6 for band in BANDS])
    shifts = np.array(shifts) + noise * rng.standard_normal((len(pairs), 3))
    decorrelation = np.array(decorrelation) * np.exp(2.0 * noise * rng.standard_normal((len(pairs), 3)))
    return ImageMotion(pairs, POINTS, shifts, np.ones(len(pairs)), decorrelation, BANDS)


def poses_at(times, path=hand):
    return np.stack([path(t) for t in times])


@pytest.mark.parametrize("offset", [-0.1, 0.0, 0.0371, 0.25])
def test_exact_motion_gives_the_offset(offset):
    # An image stamped t shows t - offset, so the pose of the picture of time t is reported at t + offset ahead of it.
    times = stamps(110)
    result = estimate_offset(shown(times, hand, 0.02), times, times, poses_at(times + offset), 0.5)
    assert result.offset == pytest.approx(offset, abs=0.005)
    assert result.sd < 0.01


def test_poses_at_the_rate_of_encoders():
    times, encoders = stamps(60), np.arange(-1.0, 5.0, 0.01)
    motion = shown(times, hand, 0.05)
    result = estimate_offset(motion, times + 0.12, encoders, poses_at(encoders), 0.5)
    assert result.offset == pytest.approx(0.12, abs=0.005)


def test_standard_deviation_covers_the_error():
    ratios = []  # of error and sd; in 3 s there are but three blocks
    for seed in range(8):
        times = stamps(60, seed)
        path = lambda t, seed=seed: hand(t, seed)  # noqa: E731
        result = estimate_offset(shown(times, path, 0.3, seed), times, times, poses_at(times + 0.1, path), 0.3)
        ratios.append(abs(result.offset - 0.1) / result.sd)
    assert np.sqrt(np.mean(np.square(ratios))) < 1.5 and max(ratios) < 3.0


def test_even_motion_does_not_determine_the_offset():
    even = lambda t: about([0.0, -10.0, 0.0], from_motion([0, 0, 4 * t, 0.1 * t, 0, 0]))  # noqa: E731
    times = stamps(80)
    with pytest.raises(InputError, match="too even"):
        estimate_offset(shown(times, even, 0.05), times, times, poses_at(times, even), 0.5)


def test_no_motion_and_too_few_frames_are_said():
    times = stamps(80)
    still = shown(times, lambda t: np.eye(4), 0.05)
    with pytest.raises(InputError, match="no motion"):
        estimate_offset(still, times, times, poses_at(times, lambda t: np.eye(4)), 0.5)
    with pytest.raises(InputError, match="lasts 1"):
        estimate_offset(still, times[:32] / times[31] * 1.6 + 0.1, times[:32], poses_at(times[:32]), 0.5)
    with pytest.raises(InputError, match="20 usable frames"):
        estimate_offset(still, times[:20], times[:20], poses_at(times[:20]), 0.5)


def test_path_meets_its_poses_and_is_smooth_in_between():
    times = stamps(60)
    path = Path(times, poses_at(times))
    assert path(times) == pytest.approx(poses_at(times), abs=1e-9)
    middle = (times[5:-6] + times[6:-5]) / 2.0
    assert path(middle) == pytest.approx(poses_at(middle), abs=0.02)
    with pytest.raises(InputError, match="grow"):
        Path(times[[0, 2, 1]], poses_at(times[:3]))


def speckle(seed=0, shape=(220, 260)):
    noise = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal(shape), (0, 0), 1.6)
    return 110.0 + 35.0 * noise / noise.std()


def test_shift_and_turn_of_the_picture_are_measured():
    still = speckle()
    pixel, move, angle = 0.5, (1.3, -0.8), 1.5  # mm, mm, degrees
    warp = cv2.getRotationMatrix2D((130.0, 110.0), -angle, 1.0)  # OpenCV counts against x to y
    warp[:, 2] += np.array(move) / pixel
    other = cv2.warpAffine(still, warp, still.shape[::-1], flags=cv2.INTER_CUBIC)
    frames = np.clip([still, other, speckle(1)], 0, 255).astype(np.uint8)
    motion = measure_motion(frames, np.ones(still.shape, bool), (pixel, pixel), np.arange(3) / 30.0)
    assert motion.pairs.tolist() == [[0, 1], [0, 2], [1, 2]]
    centre = motion.points.mean(axis=0)
    turn = np.radians(angle)
    arm = centre[:2] - np.array([130.0, 110.0]) * pixel
    expected = np.array(move) + np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ arm - arm
    radius = np.sqrt(((motion.points - centre) ** 2).sum(axis=1).mean())
    assert motion.shift[0] == pytest.approx([*expected, turn * radius], abs=0.1)
    assert (motion.decorrelation[1] > 5.0 * motion.decorrelation[0]).all()  # another picture altogether
    assert motion.weight[0] > 5.0 * motion.weight[1]


def test_a_valid_area_without_patches_is_refused():
    with pytest.raises(InputError, match="patches"):
        measure_motion(np.zeros((2, 50, 50), np.uint8), np.ones((50, 50), bool), (0.3, 0.3), np.arange(2) / 30)


@pytest.fixture(scope="module")
def sweep():
    """A simulated sweep by hand: poses as a function of time, images and their true times."""
    probe = CurvilinearProbe(radius_mm=40.0, depth_mm=90.0, pixel_mm=0.45)
    simulator = UltrasoundSimulator(make_liver(3), probe, Breathing(3, 0.0, 4.0, 0.0))
    start = pose_on_skin(probe, yaw_deg=-40.0)

    def path(t):
        return start @ about(probe.face, hand(t, 5))

    times = stamps(60, 3)
    return probe, path, times, np.stack([simulator.image(path(t)) for t in times])


@pytest.mark.parametrize("offset", [-0.1, 0.25])
def test_simulated_sweep_by_hand(sweep, tmp_path, capsys, offset):
    probe, path, times, images = sweep
    transforms = poses_at(times + offset, path) @ probe.image_from_pixel
    write_sequence(tmp_path / "s.igs.mha", Sequence(images, transforms, times, np.ones(len(times), bool)))
    cv2.imwrite(str(tmp_path / "mask.png"), 255 * probe.mask.astype(np.uint8))
    arguments = ["calibrate-time", "--sequence", tmp_path / "s.igs.mha", "--mask", tmp_path / "mask.png"]
    arguments += ["--output", tmp_path / "offset.yaml", "--report", tmp_path / "report", "--max-offset", 0.4]
    assert main([str(word) for word in arguments]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("image time offset ") and line.endswith("n 60 frames")
    found = yaml.safe_load((tmp_path / "offset.yaml").read_text())["/**"]["ros__parameters"]["image_time_offset"]
    assert found == pytest.approx(offset, abs=0.01)
    assert f"{1e3 * found:.0f} ms, sd" in line
    assert sorted(each.name for each in (tmp_path / "report").iterdir()) == ["index.html", "time_offset.png"]
    assert line in (tmp_path / "report" / "index.html").read_text()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"timestamps": np.arange(60.0)}, "no time stamps"),
        ({"timestamps": np.zeros(60)}, "do not grow"),
        ({"valid": np.arange(60) < 10}, "10 usable frames"),
        ({"world_from_pixel": np.stack([np.eye(4)] * 60)}, "no motion"),
    ],
)
def test_sequences_that_say_nothing_are_one_line(sweep, tmp_path, capfd, change, fault):
    _, path, times, _ = sweep
    images = np.stack([speckle(shape=(160, 200))] * 60).astype(np.uint8)
    sequence = Sequence(images, poses_at(times, path), times, np.ones(60, bool))
    write_sequence(tmp_path / "s.igs.mha", dataclasses.replace(sequence, **change))
    cv2.imwrite(str(tmp_path / "mask.png"), np.full((160, 200), 255, np.uint8))
    arguments = ["--sequence", str(tmp_path / "s.igs.mha"), "--mask", str(tmp_path / "mask.png")]
    assert main(["calibrate-time", *arguments, "--output", str(tmp_path / "o.yaml")]) == 2
    error = capfd.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("deeprs2v calibrate-time: error: ") and fault in error
    assert not (tmp_path / "o.yaml").exists()


def test_recorded_sweep_moves_with_what_is_put_in(shared):
    folder = shared / "liver_sweep"
    sequence = read_sequence(folder / "sweep.igs.mha")
    mask = read_mask(folder / "mask.png", sequence.frames.shape[1:])
    times = sequence.timestamps - sequence.timestamps[0]
    poses = np.stack([split_pixel_transform(transform)[0] for transform in sequence.world_from_pixel])
    path = Path(times, poses)
    motion = measure_motion(sequence.frames, mask, (0.3148, 0.3148), times)
    found = {}
    for put_in in (0.0, -0.1, 0.25):
        kept = np.flatnonzero((times + put_in >= 0.0) & (times + put_in <= times[-1]))
        inside = np.isin(motion.pairs, kept).all(axis=1)
        part = dataclasses.replace(
            motion,
            pairs=np.searchsorted(kept, motion.pairs[inside]),
            shift=motion.shift[inside],
            weight=motion.weight[inside],
            decorrelation=motion.decorrelation[inside],
        )
        result = estimate_offset(part, times[kept], times[kept], path(times[kept] + put_in), 0.6)
        found[put_in] = result.offset
    # The recording seems to have an offset of its own, and its truth is not known: only differences are tested.
    for put_in in (-0.1, 0.25):
        assert found[put_in] - found[0.0] == pytest.approx(put_in, abs=0.01)
