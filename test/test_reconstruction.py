import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import apply, rigid
from deeprs2v_ros.imaging.mask import read_mask
from deeprs2v_ros.imaging.reconstruction import reconstruct
from deeprs2v_ros.imaging.sequence import Sequence, read_sequence

ROWS, COLUMNS, PIXEL = 60, 80, 0.5
WORLD = rigid(Rotation.from_euler("xyz", [12, -25, 40], degrees=True).as_matrix(), [30.0, -70.0, 11.0])


def tissue(points):
    """A smooth field (grey levels) in the frame of the sweep."""
    x, y, z = np.moveaxis(points, -1, 0)
    return 120 + 40 * np.sin(x / 6) * np.cos(y / 7) + 35 * np.sin(z / 5 + x / 11)


def sweep(poses, field=tissue):
    """Frames of ``field`` at image poses in the sweep's frame; the world is another one."""
    scale = np.diag([PIXEL, PIXEL, 1.0, 1.0])
    v, u = np.indices((ROWS, COLUMNS))
    pixels = np.stack([u, v, 0 * u], axis=-1)
    frames = [np.clip(np.round(field(apply(pose @ scale, pixels))), 0, 255).astype(np.uint8) for pose in poses]
    transforms = np.array([WORLD @ pose @ scale for pose in poses])
    return Sequence(np.array(frames), transforms, np.arange(len(poses)) / 30, np.ones(len(poses), bool))


def translation(step, count):
    return [rigid(translation=(0.02 * i, 0.01 * i, step * i)) for i in range(count)]


def tilt(step, count):
    """A probe that turns about the top of its image, in degrees a frame."""
    angles = np.radians(step * (np.arange(count) - count / 2))
    turns = Rotation.from_rotvec(angles[:, None] * [1.0, 0.0, 0.0]).as_matrix()
    return [rigid(turn) for turn in turns]


def error(volume, field=tissue):
    z, y, x = np.nonzero(volume.array)
    points = apply(np.linalg.inv(WORLD) @ volume.volume_from_voxel, np.stack([x, y, z], axis=-1))
    return volume.array[z, y, x] - field(points), points


FULL = np.ones((ROWS, COLUMNS), bool)


@pytest.mark.parametrize(
    ("poses", "tolerance"),
    [(translation(0.3, 60), 1.0), (translation(2.5, 9), 2.5), (tilt(1.0, 30), 1.0), (tilt(4.0, 9), 2.5)],
    ids=["dense", "gaps", "dense tilt", "tilt with gaps"],
)
def test_tissue_is_where_it_was(poses, tolerance):
    volume = reconstruct(sweep(poses), FULL, 0.6)
    difference, _ = error(volume)
    assert np.abs(difference).mean() < tolerance
    assert abs(difference.mean()) < 0.3
    assert np.percentile(np.abs(difference), 99) < 4 * tolerance


def test_between_distant_frames_values_follow_linearly():
    def ramp(points):
        return 50 + 10 * points[..., 2]

    volume = reconstruct(sweep(translation(5.0, 4), ramp), FULL, 0.5)
    difference, points = error(volume, ramp)
    between = (points[:, 2] > 0) & (points[:, 2] < 15)
    assert np.abs(difference[between]).max() < 0.6  # rounding to whole grey levels, of frames and of voxels


def test_every_voxel_of_the_swept_space_is_filled_and_no_other():
    poses = translation(3.0, 6)
    volume = reconstruct(sweep(poses), FULL, 0.5)
    z, y, x = np.indices(volume.array.shape)
    points = apply(np.linalg.inv(WORLD) @ volume.volume_from_voxel, np.stack([x, y, z], axis=-1))
    far = np.array([COLUMNS - 1, ROWS - 1, 0]) * PIXEL + [0, 0, 15.0]
    inside = ((points > [0.4, 0.4, 0.0]) & (points < far - [0.4, 0.4, 0.0])).all(axis=-1)
    outside = ((points < -0.6) | (points > far + 0.6)).any(axis=-1)
    assert (volume.array[inside] > 0).all()
    assert not volume.array[outside].any()


def test_black_tissue_is_data():
    volume = reconstruct(sweep(translation(1.0, 10), lambda points: 0 * points[..., 0]), FULL, 0.5)
    assert set(np.unique(volume.array)) == {0, 1}


def test_pixels_outside_the_mask_never_enter():
    mask = FULL.copy()
    mask[:, :30] = False

    def halves(points):
        return np.where(points[..., 0] < 30 * PIXEL - 0.01, 255.0, 90.0)

    poses = [rigid(translation=(0, 0, 2.0 * i)) for i in range(8)]
    volume = reconstruct(sweep(poses, halves), mask, 0.5)
    assert set(np.unique(volume.array)) == {0, 90}


def test_many_frames_of_one_place_average_their_noise():
    rng = np.random.default_rng(0)
    clean = sweep(translation(0.05, 120), lambda points: 128 + 0 * points[..., 0])
    noisy = np.clip(clean.frames + rng.normal(0, 20, clean.frames.shape), 0, 255).astype(np.uint8)
    volume = reconstruct(Sequence(noisy, clean.world_from_pixel, clean.timestamps, clean.valid), FULL, 0.5)
    _, points = error(volume)
    middle = np.abs(points[:, 2] - 3.0) < 2.0
    assert volume.array[volume.array > 0][middle].std() < 20 / 3


def test_frames_that_are_not_valid_are_left_out():
    good = sweep(translation(1.0, 12))
    transforms, frames, valid = good.world_from_pixel.copy(), good.frames.copy(), good.valid.copy()
    transforms[5], frames[5], valid[5] = np.nan, 255, False
    kept = np.delete(np.arange(12), 5)
    expected = reconstruct(Sequence(frames[kept], transforms[kept], good.timestamps[kept], valid[kept]), FULL, 0.5)
    volume = reconstruct(Sequence(frames, transforms, good.timestamps, valid), FULL, 0.5)
    assert np.array_equal(volume.array, expected.array)


def test_a_gap_too_wide_stays_empty():
    volume = reconstruct(sweep(translation(40.0, 2)), FULL, 1.0)
    _, points = error(volume)
    assert np.minimum(np.abs(points[:, 2]), np.abs(points[:, 2] - 40)).max() < 1.0


def test_backwards_is_the_same_and_twice_is_bit_identical():
    poses = tilt(2.0, 12)
    forwards, again, backwards = (reconstruct(sweep(order), FULL, 0.8) for order in (poses, poses, poses[::-1]))
    assert np.array_equal(forwards.array, again.array)
    assert np.abs(forwards.array.astype(int) - backwards.array).max() <= 1


def test_the_third_column_of_a_pixel_transform_has_no_bearing():
    original = sweep(tilt(2.0, 8))
    transforms = original.world_from_pixel.copy()
    transforms[:, :3, 2] = 0.0
    flat = Sequence(original.frames, transforms, original.timestamps, original.valid)
    assert np.array_equal(reconstruct(flat, FULL, 0.8).array, reconstruct(original, FULL, 0.8).array)


def test_progress_ends_at_the_whole():
    calls = []
    volume = reconstruct(sweep(translation(1.0, 8)), FULL, 0.7, lambda done, total: calls.append((done, total)))
    assert calls[-1] == (volume.size[2], volume.size[2])
    assert calls == sorted(calls)


@pytest.mark.parametrize("spacing", [0.0, -0.5, np.nan])
def test_refused_spacing(spacing):
    with pytest.raises(InputError, match="spacing: must be a positive"):
        reconstruct(sweep(translation(1.0, 3)), FULL, spacing)


def test_refused_inputs():
    good = sweep(translation(1.0, 3))
    with pytest.raises(InputError, match="mask: its shape"):
        reconstruct(good, FULL[1:], 0.5)
    with pytest.raises(InputError, match="mask: is empty"):
        reconstruct(good, ~FULL, 0.5)
    with pytest.raises(InputError, match=r"spacing: 0\.001 mm makes a volume of .* voxels"):
        reconstruct(good, FULL, 0.001)
    single = Sequence(good.frames, good.world_from_pixel, good.timestamps, np.array([False, True, False]))
    with pytest.raises(InputError, match="two valid frames"):
        reconstruct(single, FULL, 0.5)


@pytest.mark.parametrize(("every", "least"), [(1, 0.985), (6, 0.97)])
def test_recorded_sweep_shows_held_out_frames(shared, every, least):
    recorded = read_sequence(shared / "liver_sweep" / "sweep.igs.mha")
    mask = read_mask(shared / "liver_sweep" / "mask.png", recorded.frames.shape[1:])
    sparse = Sequence(
        *(getattr(recorded, name)[::every] for name in ("frames", "world_from_pixel", "timestamps", "valid"))
    )
    volume = reconstruct(sparse, mask, 0.8)
    held_out = read_sequence(shared / "liver_sweep" / "frames.igs.mha")
    v, u = np.nonzero(mask)
    correlations = []
    for frame, world_from_pixel in zip(held_out.frames, held_out.world_from_pixel, strict=True):
        voxel_from_pixel = np.linalg.inv(volume.volume_from_voxel) @ world_from_pixel
        points = apply(voxel_from_pixel, np.stack([u, v, 0 * u], axis=-1))[:, ::-1].T
        shown = map_coordinates((volume.array > 0).astype(np.float32), points, order=1) > 0.999
        values = map_coordinates(volume.array.astype(np.float32), points[:, shown], order=1)
        correlations.append(np.corrcoef(values, frame[v, u][shown])[0, 1])
        assert shown.mean() > 0.85
    assert np.median(correlations) >= least
