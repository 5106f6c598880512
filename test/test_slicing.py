import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from deeprs2v_ros.geometry import about, apply, from_motion, rigid
from deeprs2v_ros.imaging.slicing import Lattice, SampledVolume, take_slice

LATTICE = Lattice((37, 45), (0.7, 0.9), (1.0, -2.0))


@pytest.fixture
def oblique():
    """A volume with anisotropic spacing and a tilted direction, and the same as a SimpleITK image."""
    rng = np.random.default_rng(0)
    image = sitk.GetImageFromArray(rng.random((40, 48, 56)).astype(np.float32))
    direction = Rotation.from_euler("xyz", [20, -30, 40], degrees=True).as_matrix()
    spacing, origin = np.array([0.6, 0.9, 1.3]), np.array([10.0, -20.0, 30.0])
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(origin.tolist())
    image.SetDirection(direction.ravel().tolist())
    volume_from_voxel = rigid(direction, origin) @ np.diag([*spacing, 1.0])
    volume = SampledVolume(sitk.GetArrayFromImage(image), np.linalg.inv(volume_from_voxel))
    middle = apply(volume_from_voxel, [28.0, 24.0, 20.0])
    tilt = Rotation.from_euler("zyx", [50, 15, -25], degrees=True).as_matrix()
    return volume, image, rigid(tilt, middle - tilt @ np.array([20.0, 10.0, 0.0]))


def test_values_agree_with_simpleitk_on_an_oblique_plane(oblique):
    volume, image, pose = oblique
    result = take_slice(volume, LATTICE, pose, np.ones(LATTICE.shape, bool))
    plane = sitk.Image(*LATTICE.shape[::-1], 1, sitk.sitkFloat32)
    plane.SetSpacing([*LATTICE.spacing, 1.0])
    plane.SetOrigin(apply(pose, [*LATTICE.origin, 0.0]).tolist())
    plane.SetDirection(pose[:3, :3].ravel().tolist())
    expected = sitk.GetArrayFromImage(sitk.Resample(image, plane, sitk.Transform(), sitk.sitkLinear, -1.0))[0]
    assert result.mask.sum() > 500
    assert np.abs(result.values - expected)[result.mask].max() < 1e-5


def test_mask_of_the_slice_is_where_simpleitk_finds_the_volume(oblique):
    volume, image, pose = oblique
    result = take_slice(volume, LATTICE, pose, np.ones(LATTICE.shape, bool))
    for row, column in np.ndindex(*LATTICE.shape):
        point = apply(pose @ LATTICE.image_from_lattice, [column, row, 0.0])
        index = np.array(image.TransformPhysicalPointToContinuousIndex(point.tolist()))
        inside = np.all(index >= 0) and np.all(index < np.array(image.GetSize()) - 1)
        assert result.mask[row, column] == inside


def test_gradient_agrees_with_finite_differences_along_the_image_axes(oblique):
    volume, _, pose = oblique
    everywhere = np.ones(LATTICE.shape, bool)
    centre = take_slice(volume, LATTICE, pose, everywhere)
    step = 1e-3
    for axis in range(3):
        shift = np.zeros(6)
        shift[axis] = step
        ahead, behind = (take_slice(volume, LATTICE, pose @ from_motion(s * shift), everywhere) for s in (1, -1))
        difference = (ahead.values - behind.values) / (2 * step)
        valid = centre.mask & ahead.mask & behind.mask
        error = np.abs(centre.gradient[axis] - difference)[valid]
        # The interpolant has a kink where the plane crosses from one voxel cell to the next: few points sit on one.
        assert np.mean(error < 1e-3) > 0.98


def test_one_missing_voxel_empties_exactly_the_points_that_need_it(oblique):
    volume, _, pose = oblique
    array = volume.array.copy()
    array[20, 24, 28] = np.nan
    before = take_slice(volume, LATTICE, pose, np.ones(LATTICE.shape, bool))
    after = take_slice(volume._replace(array=array), LATTICE, pose, np.ones(LATTICE.shape, bool))
    lost = before.mask & ~after.mask
    voxel_from_lattice = volume.voxel_from_volume @ pose @ LATTICE.image_from_lattice
    for row, column in np.ndindex(*LATTICE.shape):
        distance = np.abs(apply(voxel_from_lattice, [column, row, 0.0]) - [28, 24, 20])
        assert lost[row, column] == bool(before.mask[row, column] and np.all(distance < 1.0))
    assert lost.any()
    assert np.all(after.values[~after.mask] == 0.0)


def test_moving_volume_and_plane_together_changes_nothing(oblique):
    volume, _, pose = oblique
    motion = about([5.0, 5.0, 5.0], from_motion([3.0, -8.0, 2.0, 0.4, -0.2, 0.9]))
    moved = SampledVolume(volume.array, volume.voxel_from_volume @ np.linalg.inv(motion))
    everywhere = np.ones(LATTICE.shape, bool)
    here, there = take_slice(volume, LATTICE, pose, everywhere), take_slice(moved, LATTICE, motion @ pose, everywhere)
    assert np.allclose(here.values, there.values, atol=1e-5)
    assert np.allclose(here.gradient, there.gradient, atol=1e-4)
