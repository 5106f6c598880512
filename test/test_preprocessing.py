import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.imaging.preprocessing import (
    crop_or_pad,
    preprocess_frame,
    preprocess_volume,
    resample_isotropic,
    scale_intensities,
)
from deeprs2v_ros.imaging.volume import Volume


def linear_volume(size=(14, 11, 8)):
    """A volume whose value is linear in space, 100 + 2 x - y + 3 z (mm), so that interpolation keeps it."""
    direction = Rotation.from_euler("xyz", [20, 35, -50], degrees=True).as_matrix()
    volume = Volume(np.zeros(size[::-1], np.float32), np.array([0.4, 0.7, 1.1]), np.array([5.0, -3.0, 9.0]), direction)
    return Volume(field_at(volume), volume.spacing, volume.origin, volume.direction)


def field_at(volume):
    points = positions(volume)
    return (100 + 2 * points[..., 0] - points[..., 1] + 3 * points[..., 2]).astype(np.float32)


def positions(volume):
    """World position of every voxel, (z, y, x, 3)."""
    z, y, x = np.indices(volume.array.shape)
    return np.stack([x, y, z], axis=-1) @ volume.volume_from_voxel[:3, :3].T + volume.origin


def test_resampling_keeps_every_value_in_its_place():
    resampled = resample_isotropic(linear_volume(), 0.3)
    np.testing.assert_allclose(resampled.spacing, 0.3)
    assert resampled.size == (18, 24, 26)  # as many as fit between the first and the last voxel centre
    np.testing.assert_allclose(resampled.array, field_at(resampled), atol=1e-3)


def test_resampling_agrees_with_scipy():
    volume = Volume(np.random.default_rng(0).uniform(1, 200, (7, 9, 12)), np.array([0.9, 0.6, 1.3]))
    resampled = resample_isotropic(volume, 0.5)
    points = positions(resampled) / volume.spacing
    expected = map_coordinates(volume.array, points[..., ::-1].transpose(3, 0, 1, 2), order=1)
    np.testing.assert_allclose(resampled.array, expected, rtol=1e-5)


def test_the_edge_of_the_data_does_not_fade():
    array = np.zeros((10, 10, 10), np.uint8)
    array[:, :, 4:] = 80
    resampled = resample_isotropic(Volume(array, np.ones(3)), 0.25).array
    assert set(np.unique(resampled)) == {0.0, 80.0}
    assert np.array_equal(resampled[0, 0] > 0, np.arange(0, 9.1, 0.25) >= 3.5)


@pytest.mark.parametrize("size", [(6, 5, 4), (20, 17, 15), (9, 30, 8), (13, 12, 7)])
def test_crop_and_pad_move_nothing_in_space(size):
    volume = linear_volume()
    cut = crop_or_pad(volume, size)
    assert cut.size == size
    data = cut.array != 0
    np.testing.assert_allclose(cut.array[data], field_at(cut)[data], atol=1e-3)
    assert np.count_nonzero(data) == np.prod(np.minimum(size, volume.size))
    before, after = (positions(v).reshape(-1, 3).mean(axis=0) for v in (volume, cut))
    assert np.abs(volume.direction.T @ (after - before) / volume.spacing).max() < 0.5 + 1e-9  # the centre stays


def test_intensities():
    grey = Volume(np.array([[[0, 1, 100, 200]]], np.uint8), np.ones(3))
    np.testing.assert_allclose(scale_intensities(grey).array, [[[0, 1 / 255, 100 / 255, 200 / 255]]], rtol=1e-6)
    wide = Volume(np.array([[[0, 1, 1000, 4000]]], np.int16), np.ones(3))
    np.testing.assert_allclose(scale_intensities(wide).array, [[[0, 1 / 255, 0.25, 1]]], rtol=1e-6)
    signed = Volume(np.array([[[0, -50, 50, 150]]], np.float64), np.ones(3))
    scaled = scale_intensities(signed)
    np.testing.assert_allclose(scaled.array, [[[0, 1 / 255, 0.5, 1]]], rtol=1e-6)
    assert scaled.array.dtype == np.float32


def test_volume_as_in_the_paper():
    rng = np.random.default_rng(1)
    prepared = preprocess_volume(
        Volume(rng.integers(1, 255, (30, 40, 50)), np.array([0.3, 0.3, 0.6])), 0.5, (40, 20, 30)
    )
    assert prepared.size == (40, 20, 30)
    assert prepared.array.dtype == np.float32
    assert prepared.array.min() == 0
    assert 0.5 < prepared.array.max() <= 1
    np.testing.assert_allclose(prepared.spacing, 0.5)


def test_frame_keeps_its_pixels_in_place():
    rows, columns = np.indices((60, 90))
    frame = (40 + columns + rows).astype(np.uint8)
    image_from_pixel = np.diag([0.3, 0.4, 1.0, 1.0])
    mask = np.zeros(frame.shape, bool)
    mask[10:50, 20:70] = True
    prepared = preprocess_frame(frame, mask, image_from_pixel, 0.5, (64, 40))
    assert prepared.image.shape == prepared.mask.shape == (40, 64)
    v, u = np.nonzero(prepared.mask)
    x, y = (prepared.image_from_pixel @ np.stack([u, v, 0 * u, 1 + 0 * u]))[:2]
    column, row = x / 0.3, y / 0.4
    assert column.min() >= 19.4
    assert column.max() <= 69.6
    inside = (column > 20) & (column < 69) & (row > 10) & (row < 49)
    assert np.count_nonzero(inside) > 0.9 * len(u)
    np.testing.assert_allclose(prepared.image[v, u][inside], ((40 + column + row) / 255)[inside], atol=1e-5)
    assert not prepared.image[~prepared.mask].any()


@pytest.mark.parametrize("spacing", [0.0, -1.0, np.nan, np.inf])
def test_refused_spacing(spacing):
    with pytest.raises(InputError, match="spacing: must be a positive"):
        resample_isotropic(linear_volume(), spacing)


def test_refused_size():
    with pytest.raises(InputError, match="size: must be positive, not 4 0 4"):
        crop_or_pad(linear_volume(), (4, 0, 4))
    with pytest.raises(InputError, match=r"size: 99999 99999 99999 is more than 1e\+09 voxels"):
        crop_or_pad(linear_volume(), (99999, 99999, 99999))
    with pytest.raises(InputError, match=r"spacing: 0\.0001 mm makes more than 1e\+09 voxels"):
        resample_isotropic(linear_volume(), 0.0001)
