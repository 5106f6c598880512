"""Transforms out of files, against SimpleITK's own mapping of points, and what is refused."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from deeprs2v_ros.anatomy.placing import read_transform
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import apply, inverse

POINTS = np.random.default_rng(0).uniform(-200, 200, (10, 3))
TURN = Rotation.from_euler("xyz", [10, -20, 70], degrees=True).as_matrix()
CENTRE, SHIFT = (40.0, -50.0, 60.0), (12.0, -3.5, 80.25)


def euler():
    return sitk.Euler3DTransform(CENTRE, 0.2, -0.4, 1.1, SHIFT)


def versor():
    transform = sitk.VersorRigid3DTransform()
    transform.SetCenter(CENTRE)
    transform.SetMatrix(TURN.ravel().tolist())
    transform.SetTranslation(SHIFT)
    return transform


def affine(matrix=TURN):
    return sitk.AffineTransform(np.ravel(matrix).tolist(), SHIFT, CENTRE)


def composite():
    return sitk.CompositeTransform([euler(), versor(), affine(), sitk.TranslationTransform(3, SHIFT)])


def displacement_field():
    return sitk.DisplacementFieldTransform(sitk.Image([4, 4, 4], sitk.sitkVectorFloat64, 3))


def spline():
    return sitk.BSplineTransformInitializer(sitk.Image([8, 8, 8], sitk.sitkUInt8), [2, 2, 2])


@pytest.mark.parametrize("suffix", [".tfm", ".txt", ".h5"])
@pytest.mark.parametrize("make", [euler, versor, affine, composite])
def test_points_are_mapped_as_itk_maps_them(tmp_path, make, suffix):
    """From the fixed image to the moving one."""
    path = tmp_path / f"place{suffix}"
    sitk.WriteTransform(make(), str(path))
    moving_from_fixed = read_transform(path)
    expected = [make().TransformPoint(point) for point in POINTS.tolist()]
    assert np.abs(apply(moving_from_fixed, POINTS) - expected).max() < 1e-9
    assert np.abs(moving_from_fixed[:3, :3] @ moving_from_fixed[:3, :3].T - np.eye(3)).max() < 1e-12


def test_the_affine_transform_of_ants_is_read(tmp_path):
    sitk.WriteTransform(affine(), str(tmp_path / "0GenericAffine.mat"))
    expected = [affine().TransformPoint(point) for point in POINTS.tolist()]
    assert np.abs(apply(read_transform(tmp_path / "0GenericAffine.mat"), POINTS) - expected).max() < 1e-9


def test_a_registration_with_the_ultrasound_fixed_leaves_mri_from_volume(tmp_path):
    """As it is written: the inverse finds a landmark of the MRI in the volume."""
    volume, mri = (
        sitk.GaussianSource(sitk.sitkFloat32, [40] * 3, [6.0] * 3, centre) for centre in ([20] * 3, [26, 17, 21])
    )
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMeanSquares()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 100)
    method.SetInitialTransform(sitk.TranslationTransform(3))
    sitk.WriteTransform(method.Execute(fixed=volume, moving=mri), str(tmp_path / "found.tfm"))
    volume_from_mri = inverse(read_transform(tmp_path / "found.tfm"))
    assert apply(volume_from_mri, [26.0, 17.0, 21.0]) == pytest.approx([20.0] * 3, abs=0.1)


def test_a_matrix_in_yaml_is_read(tmp_path):
    path = tmp_path / "place.yaml"
    path.write_text("# of our own\nmatrix:\n- [0, -1, 0, 1.5]\n- [1, 0, 0, 2]\n- [0, 0, 1, -3]\n- [0, 0, 0, 1]\n")
    assert np.array_equal(read_transform(path), [[0, -1, 0, 1.5], [1, 0, 0, 2], [0, 0, 1, -3], [0, 0, 0, 1]])


def test_a_little_shear_is_taken_for_rounding(tmp_path):
    """The nearest rotation, in the Frobenius norm: none of many others is nearer."""
    bent = TURN @ np.diag([1.015, 0.99, 1.0]) @ [[1, 0.005, 0], [0, 1, 0], [0, 0, 1]]
    sitk.WriteTransform(affine(bent), str(tmp_path / "place.tfm"))
    found = read_transform(tmp_path / "place.tfm")[:3, :3]
    assert np.abs(found @ found.T - np.eye(3)).max() < 1e-12
    nearest = np.linalg.norm(found - bent)
    for turn in Rotation.from_rotvec(np.random.default_rng(0).normal(0, 0.01, (200, 3))).as_matrix():
        assert np.linalg.norm(turn @ found - bent) > nearest


@pytest.mark.parametrize(
    ("make", "suffix", "reason"),
    [
        (lambda: affine(1.05 * TURN), ".tfm", "scales or shears by 5 %"),
        (lambda: affine(TURN @ [[1, 0.2, 0], [0, 1, 0], [0, 0, 1]]), ".h5", "not rigid"),
        (lambda: affine(TURN @ np.diag([1, 1, -1])), ".tfm", "mirrors"),
        (lambda: affine(np.zeros((3, 3))), ".tfm", "place.tfm: "),
        (displacement_field, ".h5", "deformable transform .DisplacementFieldTransform"),
        (spline, ".tfm", "deformable transform .BSplineTransform"),
        (lambda: sitk.CompositeTransform([euler(), spline()]), ".h5", "deformable transform .BSplineTransform"),
        (lambda: sitk.Euler2DTransform((1.0, 2.0), 0.3), ".tfm", "in 2D"),
        (lambda: sitk.TranslationTransform(3, (1e9, 0.0, 0.0)), ".tfm", "beyond"),
    ],
)
def test_what_is_not_rigid_in_3d_is_refused_by_name(tmp_path, make, suffix, reason):
    path = tmp_path / f"place{suffix}"
    sitk.WriteTransform(make(), str(path))
    with pytest.raises(InputError, match=reason) as caught:
        read_transform(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.tfm", "no transform", "cannot be read as a transform"),
        ("x.h5", "no transform", "cannot be read as a transform"),
        (
            "x.tfm",
            "#Insight Transform File V1.0\nTransform: AffineTransform_double_3_3\nParameters: 1 0 0\n",
            "x.tfm: ",
        ),
        (
            "x.tfm",
            "#Insight Transform File V1.0\nTransform: TurnTransform_double_3_3\nParameters: 1\n",
            "no TurnTransform",
        ),
        ("x.tfm", "", "x.tfm: "),
        ("x.csv", "1 0 0", "suffix"),
        ("x.yaml", "matrix: [[1, 0, 0], [0, 1, 0], [0, 0, 1]]", "no 4x4 list"),
        ("x.yaml", "transform: 1", "no 4x4 list"),
        ("x.yaml", "matrix: [[1, 0, 0, a], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]", "'a', not a number"),
        ("x.yaml", "matrix: [[1, 0, 0, .nan], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]", "nan, not a number"),
        ("x.yaml", "matrix: [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [5, 0, 0, 1]]", "last row"),
        ("x.yaml", "matrix: [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]]", "by 100 %"),
    ],
)
def test_what_is_no_transform_is_refused_by_name(tmp_path, name, content, reason):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=reason) as caught:
        read_transform(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["gone.tfm", "gone.yaml"])
def test_a_file_that_is_not_there_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=f"{name}.*no such file"):
        read_transform(tmp_path / name)


def test_a_truncated_file_is_refused(tmp_path):
    path = tmp_path / "place.h5"
    sitk.WriteTransform(composite(), str(path))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match=r"place.h5"):
        read_transform(path)
