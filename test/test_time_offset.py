"""The time offset between images and arm: from motion known exactly, and from a recording with offsets put in."""

import dataclasses

import cv2
import numpy as np
import pytest
import yaml
from scipy.interpolate import interp1d
from scipy.spatial.transform import Rotation, Slerp

from deeprs2v_ros.cli.main import main
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import from_motion, split_pixel_transform
from deeprs2v_ros.imaging.sequence import Sequence, read_sequence, write_sequence
from deeprs2v_ros.registration.time_offset import Path, estimate_offset

CENTRE = np.array([90.0, 70.0, 0.0])
ORGAN = from_motion([4.0, -9.0, 6.0, 0.05, -0.1, 0.08])


def hand(t, seed=0):
    """A hand that tilts, turns and slides to and fro, as a pose at time t."""
    rng = np.random.default_rng(seed)
    rate, phase = rng.uniform(1.5, 4.5, (2, 6)), rng.uniform(0.0, 6.0, (2, 6))
    size = np.array([3.0, 0.5, 4.0, 0.08, 0.03, 0.03])
    return from_motion((size * np.sin(rate * t + phase)).sum(axis=0))


def stamps(count, seed=0):
    """30 frames a second, of which some are missing."""
    return np.cumsum(np.random.default_rng(seed).choice([1, 2, 3], count, p=[0.6, 0.3, 0.1])) / 30.0


def poses_at(times, path=hand):
    return np.stack([path(t) for t in times])


def registered_at(times, noise=0.0, seed=0, path=hand):
    """What registration says of images that show the organ, which has moved, at ``times``: worse out of the plane."""
    rng = np.random.default_rng(seed)
    scatter = noise * np.array([0.1, 0.1, 1.0, 0.02, 0.02, 0.002])
    return np.stack([ORGAN @ path(t) @ from_motion(scatter * rng.normal(size=6)) for t in times])


@pytest.mark.parametrize("offset", [-0.1, 0.0, 0.0371, 0.25])
def test_the_offset_and_the_organs_motion_come_back(offset):
    # An image stamped t shows t - offset; the arm's poses at the same stamps are those of t.
    times = stamps(110)
    result = estimate_offset(times, registered_at(times - offset), Path(times, poses_at(times)), CENTRE, 0.5)
    assert result.offset == pytest.approx(offset, abs=0.002)
    np.testing.assert_allclose(result.motion, ORGAN, atol=0.02)


def test_poses_at_the_rate_of_encoders():
    times, encoders = stamps(60), np.arange(-1.0, 5.0, 0.01)
    path = Path(encoders, poses_at(encoders))
    result = estimate_offset(times + 0.12, registered_at(times, 0.2), path, CENTRE, 0.5)
    assert result.offset == pytest.approx(0.12, abs=0.002)


def test_wrong_registrations_do_not_count():
    times = stamps(110)
    registered = registered_at(times, 0.2)
    registered[::9, :3, 3] += [8.0, -5.0, 3.0]
    result = estimate_offset(times, registered, Path(times, poses_at(times + 0.08)), CENTRE, 0.5)
    assert result.offset == pytest.approx(0.08, abs=0.004)


def test_standard_deviation_covers_the_error():
    ratios = []
    for seed in range(8):
        times = stamps(90, seed)
        path = lambda t, seed=seed: hand(t, seed)  # noqa: E731
        registered = registered_at(times, 1.0, seed, path)
        result = estimate_offset(times, registered, Path(times, poses_at(times + 0.1, path)), CENTRE, 0.3)
        ratios.append((result.offset - 0.1) / result.sd)
    assert np.sqrt(np.mean(np.square(ratios))) < 2.0
    assert np.abs(ratios).max() < 4.0


def test_even_motion_does_not_determine_the_offset():
    even = lambda t: from_motion([0, 0, 4 * t, 0.0, 0, 0])  # noqa: E731
    times = stamps(80)
    with pytest.raises(InputError, match="too evenly"):
        estimate_offset(times, registered_at(times, 0.2, 0, even), Path(times, poses_at(times, even)), CENTRE, 0.4)


def test_too_few_images_and_no_overlap_are_said():
    times = stamps(80)
    path = Path(times, poses_at(times))
    with pytest.raises(InputError, match="only 19 images"):
        estimate_offset(times[:19], registered_at(times[:19]), path, CENTRE, 0.5)
    with pytest.raises(InputError, match="hardly overlap"):
        estimate_offset(times + 60.0, registered_at(times), path, CENTRE, 0.5)


def test_path_meets_its_poses_and_is_smooth_in_between():
    times = stamps(60)
    path = Path(times, poses_at(times))
    assert path(times) == pytest.approx(poses_at(times), abs=1e-9)
    middle = (times[5:-6] + times[6:-5]) / 2.0
    assert path(middle) == pytest.approx(poses_at(middle), abs=0.02)
    with pytest.raises(InputError, match="grow"):
        Path(times[[0, 2, 1]], poses_at(times[:3]))


def put_in(sequence, offset):
    """The sequence as a late grabber and an early arm would have recorded it; another interpolation than `Path`'s."""
    times = sequence.timestamps - sequence.timestamps[0]
    split = [split_pixel_transform(transform) for transform in sequence.world_from_pixel]
    poses = np.stack([pose for pose, _ in split])
    kept = (times + offset >= 0.0) & (times + offset <= times[-1])
    transforms = np.tile(np.eye(4), (kept.sum(), 1, 1))
    transforms[:, :3, 3] = interp1d(times, poses[:, :3, 3], axis=0)(times[kept] + offset)
    turns = Slerp(times, Rotation.from_matrix(poses[:, :3, :3]))(times[kept] + offset)
    transforms[:, :3, :3] = turns.as_matrix()
    every = np.ones(kept.sum(), bool)
    return Sequence(sequence.frames[kept], transforms @ split[0][1], sequence.timestamps[kept], every)


@pytest.mark.parametrize("offset", [-0.1, 0.25])
def test_offsets_put_into_a_recorded_sweep(shared, tmp_path, capsys, offset):
    folder = shared / "liver_sweep"
    write_sequence(tmp_path / "s.igs.mha", put_in(read_sequence(folder / "sweep.igs.mha"), offset))
    arguments = ["--sequence", tmp_path / "s.igs.mha", "--volume", folder / "volume.mha", "--mask", folder / "mask.png"]
    arguments += ["--output", tmp_path / "offset.yaml", "--report", tmp_path / "report"]
    assert main(["calibrate-time", *map(str, arguments)]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    found = yaml.safe_load((tmp_path / "offset.yaml").read_text())["/**"]["ros__parameters"]["image_time_offset"]
    assert found == pytest.approx(offset, abs=0.01)
    assert line.startswith(f"image time offset {1e3 * found:.0f} ms, sd ")
    assert cv2.imread(str(tmp_path / "report" / "time_offset.png")).shape[0] > 500
    assert line in (tmp_path / "report" / "index.html").read_text()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"timestamps": np.arange(112.0)}, "has no time stamps"),
        ({"timestamps": np.zeros(112)}, "and to grow"),
        ({"valid": np.arange(112) < 10}, "images could be registered; at least"),
    ],
)
def test_sequences_that_say_nothing_are_one_line(shared, tmp_path, capfd, change, fault):
    folder = shared / "liver_sweep"
    sequence = dataclasses.replace(read_sequence(folder / "sweep.igs.mha"), **change)
    write_sequence(tmp_path / "s.igs.mha", sequence)
    arguments = ["--sequence", tmp_path / "s.igs.mha", "--volume", folder / "volume.mha", "--mask", folder / "mask.png"]
    assert main(["calibrate-time", *map(str, arguments), "--output", str(tmp_path / "o.yaml")]) == 2
    error = capfd.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("deeprs2v calibrate-time: error: ") and "s.igs.mha" in error and fault in error
    assert not (tmp_path / "o.yaml").exists()
