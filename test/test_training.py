"""Training: pairs with a known answer, honest splits, runs that go on where they were cut off, several processes."""

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from networks import GRID, write_clip
from phantoms import phantom
from scipy.stats import f, multivariate_t

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import inverse, to_motion
from deeprs2v_ros.network.architectures import build
from deeprs2v_ros.network.checkpoint import Description, load_weights, save_weights
from deeprs2v_ros.network.loss import slice_box
from deeprs2v_ros.network.observation import Observation
from deeprs2v_ros.network.prediction import look
from deeprs2v_ros.registration.belief import TAIL
from deeprs2v_ros.training.augmentation import Augmentation
from deeprs2v_ros.training.calibration import calibrate, calibration_factors, squared_distances
from deeprs2v_ros.training.clips import ClipFiles, read_clips
from deeprs2v_ros.training.invention import invent_clip
from deeprs2v_ros.training.pairs import Pairs, displaced_pair, draw_displacement
from deeprs2v_ros.training.self_supervision import cut_clip
from deeprs2v_ros.training.settings import NetworkSettings, RunSettings, TrainingSettings, read_settings
from deeprs2v_ros.training.training import BEST, LAST, LOG, train

SOURCE = Path(__file__).resolve().parents[1]
TINY = TrainingSettings(
    NetworkSettings("correspondence", 0.34, GRID.spacing, GRID.size), run=RunSettings(4, 2, validate_every=2)
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    files = [ClipFiles(str(seed), **write_clip(folder / str(seed), seed)) for seed in (0, 1)]
    return read_clips(files, GRID)


def likeness(frame, moved):
    """Correlation of a frame (1, 2, y, x) with a slice, where both are known."""
    both = (frame[:, 1] > 0.5) & (moved[:, 1] > 0.5)
    return torch.corrcoef(torch.stack([frame[:, 0][both], moved[:, 0][both]]))[0, 1]


def batch_of(pairs):
    frames, boxes, corrections = zip(*pairs, strict=True)
    return Observation(torch.stack(frames), torch.stack(boxes)), torch.from_numpy(np.stack(corrections)).float()


def test_the_correction_of_a_pair_leads_back_to_the_frame(clips):
    rng = np.random.default_rng(0)
    for index in range(len(clips[0])):
        frame, box, correction = displaced_pair(clips[0], index, draw_displacement(rng, 1.0), GRID)
        truth = torch.from_numpy(correction).float()[None]
        right, start = (likeness(frame[None], slice_box(box[None], d, GRID)) for d in (truth, torch.eye(4)[None]))
        assert right > 0.7
        assert right > start + 0.1


def test_mirror_images_keep_frame_and_volume_together(clips):
    """Whatever is mirrored, the mirrored correction still leads back to the mirrored frame."""
    rng = np.random.default_rng(1)
    pairs = [displaced_pair(clips[0], 1, draw_displacement(rng, 1.0), GRID) for _ in range(8)]
    before, truth = batch_of(pairs)
    mirrored, corrections = Augmentation(0).mirrored(before, truth)
    changed = (mirrored.frame != before.frame).flatten(1).any(1) | (mirrored.box != before.box).flatten(1).any(1)
    assert 2 < changed.sum() < 8
    torch.testing.assert_close(torch.linalg.det(corrections[:, :3, :3]), torch.ones(8))
    for frame, box, correction in zip(*mirrored, corrections, strict=True):
        assert likeness(frame[None], slice_box(box[None], correction[None], GRID)) > 0.7


def test_augmentation_changes_what_is_seen_of_each_pair_and_not_where(clips):
    before, truth = batch_of([displaced_pair(clips[0], 0, np.eye(4), GRID)] * 3)
    observation, _ = Augmentation(3)(before, truth)
    for observed, original in zip(observation, before, strict=True):
        assert observed.shape == original.shape
        value, known = observed.unbind(1)
        assert ((value >= 0.0) & (value <= 1.0)).all()
        assert (value[known == 0.0] == 0.0).all()
        assert not torch.allclose(observed, original)
        assert not torch.allclose(observed[0], observed[1])


def test_pairs_are_drawn_anew_each_time_and_alike_for_the_same_seed(clips):
    first, again, other = (iter(Pairs(clips, GRID, 2, seed)) for seed in (0, 0, 1))
    a, b, c, d = next(first), next(again), next(other), next(first)
    assert torch.equal(a[0].frame, b[0].frame)
    assert torch.equal(a[1], b[1])
    assert not torch.equal(a[1], c[1])
    assert not torch.equal(a[1], d[1])


def test_an_invented_frame_shows_the_plane_at_which_it_is_said_to_be():
    """Seen with other shadows and speckle, it is still more like its own plane than like those nearby."""
    own, nearby = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        clip = invent_clip(rng, GRID, 2)
        for frame, pose in zip(clip.frames, clip.volume_from_centre, strict=True):
            for found, displacement in ((own, np.eye(4)), (nearby, draw_displacement(rng, 2.0))):
                moved = torch.from_numpy(pose @ displacement)[None]
                found.append(float(likeness(frame[None], clip.volume.slice(moved, GRID))))
    assert np.nanmean(own) > np.nanmean(nearby) + 0.1


def test_invented_anatomies_are_all_different_and_alike_for_the_same_seed():
    one, again, other = (invent_clip(np.random.default_rng(seed), GRID, 1) for seed in (0, 0, 1))
    assert torch.equal(one.frames, again.frames)
    assert torch.equal(one.volume.array, again.volume.array)
    assert not torch.equal(one.volume.array, other.volume.array)


def test_a_run_on_inventions_alone_needs_no_clips():
    observation, _ = next(iter(Pairs([], GRID, 2, 0, invented=1.0)))
    assert observation.box[:, 1].mean(dim=(1, 2, 3)).min() > 0.02


def test_displacements_have_the_range_of_the_paper():
    rng = np.random.default_rng(0)
    drawn = np.stack([draw_displacement(rng, 1.0) for _ in range(2000)])
    reach = np.abs(drawn[:, :3, 3]).max(axis=0)
    np.testing.assert_allclose(reach, [10.0, 10.0, 5.0], rtol=0.02)
    assert (reach <= [10.0, 10.0, 5.0]).all()


def test_slices_for_finetuning_are_of_the_volume_alone():
    clip = cut_clip(phantom("spheres"), GRID, 5, seed=0)
    assert len(clip) == 5
    for frame, pose in zip(clip.frames, clip.volume_from_centre, strict=True):
        again = clip.volume.slice(torch.from_numpy(pose)[None], GRID)[0]
        assert torch.equal(frame, again)
        np.testing.assert_allclose(pose @ inverse(pose), np.eye(4), atol=1e-9)


def test_a_run_leaves_weights_and_a_log_and_learns_the_same_twice(clips, tmp_path):
    first, second = (train(TINY, clips, clips[:1], tmp_path / name, torch.device("cpu")) for name in _folders(tmp_path))
    one, two = (load_weights(path).network.state_dict() for path in (first, second))
    assert all(torch.equal(one[name], two[name]) for name in one)
    rows = list(csv.DictReader((tmp_path / "a" / LOG).open()))
    assert [row["step"] for row in rows] == ["2", "4"]
    assert load_weights(first).description.trained_on["subjects"] == ["0", "1"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
def test_a_gpu_trains_and_calibrates_and_leaves_the_clips_where_they_were(clips, tmp_path):
    device, settings = torch.device("cuda"), replace(TINY, run=replace(TINY.run, invented=0.5))
    best = train(settings, clips, clips[:1], tmp_path, device)
    calibrate(best, clips, 2.0, 0, device)
    assert load_weights(best).description.calibration != (1.0,) * 6
    assert all(clip.frames.device.type == clip.volume.array.device.type == "cpu" for clip in clips)


def _folders(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        yield name


def test_a_run_that_was_cut_off_goes_on_and_another_one_is_refused(clips, tmp_path):
    train(TINY, clips, clips[:1], tmp_path, torch.device("cpu"))
    state = (tmp_path / LAST).read_bytes()
    train(TINY, clips, clips[:1], tmp_path, torch.device("cpu"))  # is at its end already
    assert (tmp_path / LAST).read_bytes() == state
    other = replace(TINY, run=replace(TINY.run, seed=5))
    with pytest.raises(InputError, match=r"last\.safetensors: belongs to a run with another configuration"):
        train(other, clips, clips[:1], tmp_path, torch.device("cpu"))


def test_training_stops_when_validation_gets_no_better(clips, tmp_path):
    settings = replace(TINY, run=RunSettings(40, 2, learning_rate=1e-12, validate_every=1, patience=2))
    train(settings, clips, clips[:1], tmp_path, torch.device("cpu"))
    steps = [int(row["step"]) for row in csv.DictReader((tmp_path / LOG).open())]
    assert len(steps) < 40


def test_calibration_finds_the_factors_that_were_forgotten():
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(4000, 6, 6)) * 0.3 + 2.0 * np.eye(6)
    covariances, factors = roots @ roots.transpose(0, 2, 1), np.array([0.5, 1.0, 2.0, 3.0, 0.8, 1.3])
    drawn = multivariate_t.rvs(np.zeros(6), np.eye(6), df=TAIL, size=4000, random_state=rng)
    errors = factors * (roots @ drawn[..., None])[..., 0]
    np.testing.assert_allclose(calibration_factors(errors, covariances), factors, rtol=0.1)


def test_a_calibrated_network_is_as_far_off_as_it_says(tmp_path):
    """Untrained, it says that nothing is displaced: how much is, it has to learn from the validation clips."""
    path = tmp_path / "untrained.safetensors"
    save_weights(path, build("fvrnet", GRID, 0.125), Description("fvrnet", GRID, 0.125))
    calibrate(path, [invent_clip(np.random.default_rng(0), GRID, 50)], 2.0, 0, torch.device("cpu"))
    factors, said = load_weights(path).description.calibration, np.diag([10.0, 10.0, 10.0, 0.2, 0.2, 0.2]) ** 2
    rng = np.random.default_rng(1)
    errors = np.stack([to_motion(draw_displacement(rng, rng.uniform(0.0, 2.0))) for _ in range(400)])
    inside = squared_distances(errors, np.broadcast_to(said, (400, 6, 6)), factors) / 6.0
    assert 0.35 < np.mean(inside < f.ppf(0.5, 6, TAIL)) < 0.65
    assert np.mean(inside < f.ppf(0.9, 6, TAIL)) > 0.8


def test_the_shipped_network_is_as_far_off_as_it_says():
    """On anatomies that nobody has, none of which it was trained or calibrated on."""
    checkpoint = load_weights("correspondence")
    grid, factors = checkpoint.description.grid, checkpoint.description.calibration
    rng, errors, covariances = np.random.default_rng(11), [], []
    for _ in range(4):
        clip = invent_clip(rng, grid, 8)
        for frame, truth in zip(clip.frames, clip.volume_from_centre, strict=True):
            found = look(checkpoint.network, clip.volume, frame[None], truth @ draw_displacement(rng, 1.0), grid)
            errors.append(to_motion(inverse(found.pose) @ truth))
            covariances.append(found.scale)
    inside = squared_distances(np.stack(errors), np.stack(covariances), factors) / 6.0
    assert np.mean(inside < f.ppf(0.5, 6, TAIL)) > 0.25
    assert np.mean(inside < f.ppf(0.9, 6, TAIL)) > 0.75


def test_two_processes_train_one_network(tmp_path):
    clips = [dict(write_clip(tmp_path / str(seed), seed), subject=str(seed)) for seed in (0, 1)]
    clips = [{name: str(value) for name, value in clip.items()} for clip in clips]
    config = {
        "network": {"architecture": "correspondence", "width": 0.34, "spacing": GRID.spacing, "size": list(GRID.size)},
        "data": {
            "train": {"first": 0, "count": 0}, "validate": {"first": 0, "count": 0},
            "recorded": clips[:1], "recorded_validate": clips[1:],
        },
        "run": {"steps": 2, "batch": 1, "validate_every": 2},
    }  # fmt: skip
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0"]
    command = [*command, "--standalone", "-m", "deeprs2v_ros.cli.main", "train", "--config", "train.yaml"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--output", "run"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert load_weights(tmp_path / "run" / BEST).description.calibration != (1.0,) * 6
    assert len(list(csv.DictReader((tmp_path / "run" / LOG).open()))) == 1


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("run: {stepz: 3}", "run: stepz is not a field here"),
        ("run: {steps: many}", "run: steps: must be a int, not 'many'"),
        ("run: {steps: 0}", "run.steps must be positive"),
        ("run: {invented: 1.5}", "run.invented must be between 0 and 1"),
        ("network: {size: [3, 4]}", "network: size: must be a list of 3"),
        ("network: {architecture: resnet}", "network.architecture is none of"),
        ("data: {train: {first: 0, count: 3}, validate: {first: 2, count: 1}}", "subject 0002 is both trained and"),
        ("- a list", "must be a mapping"),
        ("a: [", "not a YAML file"),
    ],
)
def test_faulty_configurations_are_refused_by_name(tmp_path, text, fault):
    path = tmp_path / "train.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_settings(path)
    assert str(path) in str(error.value)
    assert fault in str(error.value)


@pytest.mark.parametrize("path", sorted((SOURCE / "config/train").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_configurations_are_read(path):
    assert read_settings(path).run.steps > 100


def test_an_observation_has_the_shape_of_the_grid(clips):
    observation, truth = next(iter(Pairs(clips, GRID, 3, 0)))
    assert all(type(each) is torch.Tensor for each in observation)  # not a subclass, which would slow the network down
    assert observation.frame.shape == (3, 2, *GRID.size[1::-1])
    assert observation.box.shape == (3, 2, *GRID.size[::-1])
    assert truth.shape == (3, 4, 4)
