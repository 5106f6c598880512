"""Slices of an MRI or CT against SimpleITK's resampling on the same plane."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial.transform import Rotation

from deeprs2v_ros.anatomy.reslice import Reslicer
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import apply, inverse, rigid
from deeprs2v_ros.imaging.slicing import Lattice
from deeprs2v_ros.imaging.volume import Volume, to_image

LATTICE = Lattice((60, 75), (0.7, 0.9), (1.0, -2.0))
DIRECTION = Rotation.from_euler("xyz", [20, -30, 40], degrees=True).as_matrix()
WINDOW = (-150.0, 250.0)


def ct(direction=DIRECTION):
    """Hounsfield units from air to bone, many of them 0."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(40, 48, 56)), 1.5)
    units = np.clip(600 * noise / noise.std(), -1000, 1500)
    units[np.abs(units) < 400] = 0
    return Volume(units.astype(np.int16), np.array([0.9, 1.1, 2.0]), np.array([10.0, -20.0, 30.0]), direction)


def pose_in(volume, seed=0):
    """An oblique plane about the middle of a volume."""
    rng = np.random.default_rng(seed)
    middle = apply(volume.volume_from_voxel, (np.array(volume.size) - 1) / 2 + rng.uniform(-5, 5, 3))
    turn = Rotation.from_euler("zyx", rng.uniform(-180, 180, 3), degrees=True).as_matrix()
    return rigid(turn, middle - turn @ [27.0, 25.0, 0.0])


def resampled(volume, lattice, pose):
    """SimpleITK's values on the plane, and where all eight voxels around are inside."""
    plane = sitk.Image(*lattice.shape[::-1], 1, sitk.sitkFloat64)
    plane.SetSpacing([*lattice.spacing, 1.0])
    plane.SetOrigin(apply(pose, [*lattice.origin, 0.0]).tolist())
    plane.SetDirection(pose[:3, :3].ravel().tolist())
    image = sitk.Cast(to_image(volume), sitk.sitkFloat64)
    values = sitk.GetArrayFromImage(sitk.Resample(image, plane, sitk.Transform(), sitk.sitkLinear, 0.0))[0]
    voxels = np.stack([
        image.TransformPhysicalPointToContinuousIndex(apply(pose @ lattice.image_from_lattice, [x, y, 0.0]).tolist())
        for y, x in np.ndindex(lattice.shape)
    ])  # fmt: skip
    inside = ((voxels >= 0) & (voxels < np.array(volume.size) - 1)).all(axis=1).reshape(lattice.shape)
    return values, inside


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("direction", [DIRECTION, DIRECTION @ np.diag([1, 1, -1])], ids=["oblique", "left-handed"])
def test_greys_agree_with_simpleitks_resampling_to_rounding(seed, direction):
    volume = ct(direction)
    pose = pose_in(volume, seed)
    values, inside = resampled(volume, LATTICE, pose)
    grey = Reslicer(volume, WINDOW).slice(LATTICE, pose)
    low, high = WINDOW
    exact = np.clip((values - low) / (high - low), 0, 1) * 255
    assert grey.dtype == np.uint8
    assert inside.sum() > 1000
    assert np.abs(grey - exact)[inside].max() < 0.5 + 1e-3
    assert not grey[~inside].any()


def test_zero_and_negative_values_are_data():
    """A plane of water between air and bone is grey, not black."""
    volume = ct()
    values, inside = resampled(volume, LATTICE, pose_in(volume))
    grey = Reslicer(volume, (-1000.0, 1000.0)).slice(LATTICE, pose_in(volume))
    water = inside & (np.abs(values) < 1)
    assert water.sum() > 50
    assert (np.abs(grey[water].astype(int) - 127) <= 1).all()
    assert np.count_nonzero(grey[inside & (values < -10)]) > 100


def test_the_usual_window_leaves_out_the_darkest_and_the_brightest_percent():
    volume = Volume(np.random.default_rng(0).normal(size=(30, 30, 30)), np.ones(3))
    low, high = Reslicer(volume).window
    assert (volume.array < low).mean() == pytest.approx(0.01, abs=2e-3)
    assert (volume.array > high).mean() == pytest.approx(0.01, abs=2e-3)


def test_a_volume_that_is_nearly_all_air_still_shows_what_is_there():
    array = np.zeros((20, 20, 20), np.uint8)
    array[10, 10, 10] = 200
    reslicer = Reslicer(Volume(array, np.ones(3)))
    assert reslicer.window == (0.0, 200.0)
    grey = reslicer.slice(Lattice((20, 20), (1.0, 1.0), (0.0, 0.0)), rigid(translation=(0, 0, 10)))
    assert grey[10, 10] == 255
    assert np.count_nonzero(grey) == 1


def test_a_volume_of_one_value_is_one_grey():
    reslicer = Reslicer(Volume(np.full((5, 5, 5), 7, np.int16), np.ones(3)))
    assert len(np.unique(reslicer.slice(Lattice((3, 3), (1.0, 1.0), (0.5, 0.5)), rigid(translation=(0, 0, 1))))) == 1


def test_a_plane_beside_the_volume_is_black():
    volume = ct()
    assert not Reslicer(volume, WINDOW).slice(LATTICE, rigid(translation=(1e3, 0, 0)) @ pose_in(volume)).any()


def test_a_registered_mri_is_sliced_through_its_transform():
    """The volume's pose and volume_from_mri together show what the MRI's own pose shows."""
    mri = ct()
    mri_from_image, volume_from_mri = pose_in(mri), rigid(DIRECTION.T, (70.0, -8.0, 5.0))
    volume_from_image = volume_from_mri @ mri_from_image
    reslicer = Reslicer(mri, WINDOW)
    through = reslicer.slice(LATTICE, inverse(volume_from_mri) @ volume_from_image)
    difference = np.abs(through.astype(int) - reslicer.slice(LATTICE, mri_from_image))
    assert np.mean(difference <= 1) > 0.999  # but for points on the border


@pytest.mark.parametrize("window", [(1.0, 1.0), (5.0, 2.0), (0.0, np.nan), (-np.inf, 0.0)])
def test_a_window_that_is_none_is_refused(window):
    with pytest.raises(InputError, match="window"):
        Reslicer(ct(), window)
