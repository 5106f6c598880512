"""The MRI of a simulated subject, and the true labels, against the subject's tissues."""

import numpy as np
import pytest
import SimpleITK as sitk

from deeprs2v_ros.geometry import apply, geodesic_distance
from deeprs2v_ros.imaging.volume import to_image
from deeprs2v_ros.simulation.anatomy import Region, make_liver
from deeprs2v_ros.simulation.mri import TUMOUR, VESSELS, make_mri, place_of_mri, scene_anatomy


@pytest.fixture(scope="module")
def liver():
    return make_liver(2, spacing=1.5)


@pytest.fixture(scope="module")
def mri(liver):
    return make_mri(liver)


def at(volume, points):
    """Values of a volume at ``points`` (N, 3) of its own frame, by SimpleITK."""
    image = to_image(volume)
    return np.array([image.GetPixel(image.TransformPhysicalPointToIndex(point)) for point in points.tolist()])


def points_in(mask, liver, count=400):
    """Some points (N, 3) mm in a mask (z, y, x) on the voxels of the tissue."""
    voxels = np.argwhere(mask)[:, ::-1]
    chosen = np.random.default_rng(0).choice(len(voxels), count)
    return liver.organ.origin + liver.organ.spacing * voxels[chosen]


def test_blood_is_dark_for_ultrasound_and_has_its_region(liver):
    echoes = liver.organ.echogenicity
    assert liver.regions.shape == echoes.shape and liver.regions.dtype == np.uint8
    assert np.median(echoes[liver.regions == Region.VESSEL]) < 0.15
    assert np.median(echoes[liver.regions == Region.LIVER]) == pytest.approx(1.0, abs=0.1)
    assert np.median(echoes[liver.regions == Region.TUMOUR]) == pytest.approx(10.0 ** (-4.0 / 20.0), rel=0.2)


def test_labels_are_the_true_vessels_and_the_whole_tumour(liver):
    labels = scene_anatomy(liver)
    assert set(np.unique(labels.array)) == {0, VESSELS, TUMOUR}
    landmarks = at(labels, liver.bifurcations)
    assert np.mean(landmarks == VESSELS) > 0.85
    volume = np.count_nonzero(labels.array == TUMOUR) * np.prod(labels.spacing)
    assert volume == pytest.approx(4.0 / 3.0 * np.pi * np.prod(liver.tumour_semi_axes), rel=0.03)
    middle = apply(labels.volume_from_voxel, np.argwhere(labels.array == TUMOUR)[:, ::-1].mean(axis=0))
    np.testing.assert_allclose(middle, liver.tumour_centre, atol=0.3)


def test_the_mri_shows_the_same_tissue_at_the_same_place(liver, mri):
    volume, volume_from_mri = mri
    mri_from_volume = np.linalg.inv(volume_from_mri)
    regions = liver.regions.copy()
    regions[:, : int(liver.wall_mm / liver.organ.spacing) + 2] = Region.FAT  # the abdominal wall is in front of it
    regions[:20] = regions[-20:] = Region.FAT  # the MRI may end before

    def brightness(mask):
        return np.median(at(volume, apply(mri_from_volume, points_in(mask, liver))))

    blood, tumour = brightness(regions == Region.VESSEL), brightness(regions == Region.TUMOUR)
    tissue = np.median(at(volume, apply(mri_from_volume, liver.tumour_centre + np.diag([20.0, 20.0, 20.0]))))
    assert blood > 1.25 * tissue and tumour < 0.8 * tissue
    # Anywhere else, the vessels are not brighter than what is around them.
    for shift in (np.array([8.0, 0.0, 0.0]), np.array([0.0, 0.0, -8.0])):
        points = points_in(regions == Region.VESSEL, liver) + shift
        assert np.median(at(volume, apply(mri_from_volume, points))) < 0.8 * blood


def test_the_frames_differ_by_some_degrees_and_millimetres(mri):
    volume, volume_from_mri = mri
    np.testing.assert_allclose(volume_from_mri[:3, :3] @ volume_from_mri[:3, :3].T, np.eye(3), atol=1e-12)
    assert 2.9 < np.degrees(geodesic_distance(volume_from_mri[:3, :3], np.eye(3))) < 6.1
    assert np.all((np.abs(volume_from_mri[:3, 3]) >= 6.0) & (np.abs(volume_from_mri[:3, 3]) <= 12.0))
    assert 3.9 < np.degrees(geodesic_distance(volume.direction, np.eye(3))) < 8.1
    assert np.all((volume.spacing >= 1.2) & (volume.spacing <= 1.5))


def test_noise_is_rician_where_there_is_air(mri):
    corner = mri[0].array[:6, :6, :6].astype(float)
    assert corner.mean() == pytest.approx(14.0 * np.sqrt(np.pi / 2.0), rel=0.15)  # a Rayleigh distribution


def test_where_it_lies_is_known_without_making_it(liver, mri):
    np.testing.assert_array_equal(place_of_mri(liver.seed), mri[1])


def test_the_same_seed_gives_the_same_mri(liver, mri):
    again, transform = make_mri(liver)
    np.testing.assert_array_equal(again.array, mri[0].array)
    np.testing.assert_array_equal(transform, mri[1])


def test_resampled_by_itk_the_mri_lies_on_the_labels(liver, mri):
    """As a user does it: with a transform that maps points of the ultrasound volume to the MRI."""
    volume, volume_from_mri = mri
    labels = scene_anatomy(liver)
    mri_from_volume = np.linalg.inv(volume_from_mri)
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(mri_from_volume[:3, :3].ravel().tolist())
    transform.SetTranslation(mri_from_volume[:3, 3].tolist())
    seen = sitk.GetArrayFromImage(sitk.Resample(to_image(volume), to_image(labels), transform, sitk.sitkLinear, 0.0))
    behind_wall = np.s_[:, int(liver.wall_mm / liver.organ.spacing) + 2 :]
    seen, marked, regions = seen[behind_wall], labels.array[behind_wall], liver.regions[behind_wall]
    tissue = np.median(seen[regions == Region.LIVER])
    assert np.mean(seen[marked == VESSELS] > 1.15 * tissue) > 0.7
    assert np.mean(seen[regions == Region.LIVER] > 1.15 * tissue) < 0.2
