import gzip
import re
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.imaging.volume import Volume, read_volume, to_image, write_volume


@pytest.fixture
def volume():
    array = np.random.default_rng(3).integers(1, 255, (6, 7, 9), dtype=np.uint8)
    direction = Rotation.from_euler("xyz", [10, -20, 75], degrees=True).as_matrix()
    return Volume(array, np.array([0.3, 0.5, 1.7]), np.array([-12.5, 30.25, 4.0]), direction)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd", ".nii", ".nii.gz"])
def test_a_written_volume_comes_back_with_its_place_in_space(tmp_path, volume, suffix):
    path = tmp_path / f"volume{suffix}"
    write_volume(path, volume)
    back = read_volume(path)
    assert np.array_equal(back.array, volume.array)
    assert back.array.dtype == volume.array.dtype
    np.testing.assert_allclose(back.volume_from_voxel, volume.volume_from_voxel, atol=2e-5)  # NIfTI keeps float32
    assert list(tmp_path.iterdir()) == [path]


def test_voxels_lie_where_simpleitk_puts_them(volume):
    image = to_image(volume)
    for index in [(0, 0, 0), (3.5, 1.25, 0.1), (8, 6, 5)]:
        expected = image.TransformContinuousIndexToPhysicalPoint(index)
        np.testing.assert_allclose((volume.volume_from_voxel @ [*index, 1])[:3], expected, atol=1e-12)
    assert volume.size == (9, 7, 6)


def test_a_boolean_volume_is_written_as_zero_and_one(tmp_path, volume):
    write_volume(tmp_path / "mask.mha", Volume(volume.array > 100, volume.spacing))
    assert set(np.unique(read_volume(tmp_path / "mask.mha").array)) == {0, 1}


def test_missing_volume(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.mha: no such file"):
        read_volume(tmp_path / "nothing.mha")


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("suffix", [".mha", ".nrrd", ".nii", ".nii.gz"])
@pytest.mark.parametrize("share", [0.9, 0.5])
def test_truncated_volume(tmp_path, volume, suffix, compressed, share):
    large = Volume(np.random.default_rng(0).integers(1, 255, (20, 20, 20), dtype=np.uint8), volume.spacing)
    whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    sitk.WriteImage(to_image(large), str(whole), compressed)
    read_volume(whole)
    content = whole.read_bytes()
    cut.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"cut\.") as caught:
        read_volume(cut)
    assert "\n" not in str(caught.value)


def test_damaged_nifti(tmp_path, volume):
    path = tmp_path / "volume.nii.gz"
    write_volume(path, volume)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:400]))
    with pytest.raises(InputError, match=r"volume\.nii\.gz: truncated"):
        read_volume(path)


def test_nifti_stored_in_fewer_bytes_than_its_scaled_values_take(tmp_path, volume):
    path = tmp_path / "scaled.nii"
    write_volume(path, volume)
    content = bytearray(path.read_bytes())
    content[112:116] = np.float32(0.5).tobytes()  # scl_slope
    path.write_bytes(bytes(content))
    np.testing.assert_allclose(read_volume(path).array, 0.5 * volume.array)


@pytest.mark.parametrize("content", [b"", b"hello\nworld\n", bytes(range(256)) * 20])
@pytest.mark.parametrize("suffix", [".mha", ".nrrd", ".nii", ".txt"])
def test_a_file_that_is_no_volume(tmp_path, suffix, content):
    path = tmp_path / f"notes{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"notes") as caught:
        read_volume(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("array", "vector", "fault"),
    [
        (np.ones((5, 6)), False, "is 2D"),
        (np.ones((2, 4, 5, 6)), False, "is 4D"),
        (np.ones((4, 5, 6, 3)), True, "3 values a voxel"),
        (np.full((4, 5, 6), np.nan), False, "NaN or infinite"),
        (np.full((4, 5, 6), np.inf), False, "NaN or infinite"),
        (np.zeros((4, 5, 6)), False, "holds no data"),
        (np.ones((4, 5, 6), complex), False, "2 values a voxel"),
    ],
)
def test_refused_content(tmp_path, array, vector, fault):
    path = tmp_path / "odd.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=vector), str(path))
    with pytest.raises(InputError, match=rf"odd\.nrrd: .*{fault}"):
        read_volume(path)


@pytest.mark.parametrize("spacing", ["0 1 1", "-1 1 1", "nan 1 1", "a b c"])
def test_refused_spacing(tmp_path, volume, spacing):
    path = tmp_path / "flat.mha"
    write_volume(path, Volume(volume.array, np.ones(3)))
    path.write_bytes(path.read_bytes().replace(b"ElementSpacing = 1 1 1", f"ElementSpacing = {spacing}".encode()))
    with pytest.raises(InputError, match=r"flat\.mha: its spacing .* must be positive"):
        read_volume(path)


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("TransformMatrix", "1 0 0 0.5 1 0 0 0 1", "its axes are not at right angles"),
        ("TransformMatrix", "2 0 0 0 1 0 0 0 1", "its axes are not at right angles"),
        ("Offset", "nan 0 0", "its Offset is 'nan', not a number"),
        ("Offset", "0 0 1e300", "its origin"),
        ("DimSize", "4294967296 2 2", "truncated"),
        ("DimSize", "6 5 0", "is empty"),
        ("DimSize", "6 20", "its NDims .3. is not"),
    ],
)
def test_refused_place_and_size(tmp_path, volume, field, value, fault):
    path = tmp_path / "odd.mha"
    write_volume(path, Volume(volume.array, np.ones(3)))
    path.write_bytes(re.sub(f"{field} = .*".encode(), f"{field} = {value}".encode(), path.read_bytes()))
    with pytest.raises(InputError, match=rf"odd\.mha: {fault}|odd\.mha: its {field}.*{fault}"):
        read_volume(path)


@pytest.mark.parametrize("value", ["nan", "x", "1e999", "9" * 300, "0." + "0" * 300 + "1", "9" * 3000])
@pytest.mark.parametrize("field", ["space directions", "space origin"])
def test_refused_numbers_of_nrrd(tmp_path, volume, field, value):
    path = tmp_path / "odd.nrrd"
    write_volume(path, volume)
    content = re.sub(f"({field}: \\()[^,]*".encode(), rb"\g<1>" + value.encode(), path.read_bytes())
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"odd\.nrrd: its (field|space)"):
        read_volume(path)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd", ".nii", ".nii.gz"])
def test_more_voxels_than_are_read(tmp_path, volume, suffix, monkeypatch):
    path = tmp_path / f"large{suffix}"
    write_volume(path, volume)
    for module in ("headers", "volume"):
        monkeypatch.setattr(f"deeprs2v_ros.imaging.{module}.check_size", refuse_size)
    with pytest.raises(InputError, match="too large"):
        read_volume(path)


def refuse_size(path, pixel_bytes):
    assert pixel_bytes > 0
    raise InputError("too large")


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_voxels_in_another_file(tmp_path, volume, suffix):
    path = tmp_path / f"two{suffix}"
    sitk.WriteImage(to_image(volume), str(path))
    np.testing.assert_array_equal(read_volume(path).array, volume.array)
    (raw,) = (each for each in tmp_path.iterdir() if each != path)
    raw.write_bytes(raw.read_bytes()[:10])
    with pytest.raises(InputError, match=rf"{path.name}: .*{raw.name}: truncated"):
        read_volume(path)
    raw.unlink()
    with pytest.raises(InputError, match=rf"{path.name}: the file of its pixels, .*{raw.name}, does not exist"):
        read_volume(path)


def test_nifti_that_is_not_compressed_or_inflates_without_end(tmp_path, volume):
    path = tmp_path / "v.nii.gz"
    write_volume(tmp_path / "v.nii", volume)
    plain = (tmp_path / "v.nii").read_bytes()
    path.write_bytes(plain)
    with pytest.raises(InputError, match=r"v\.nii\.gz: is named \.gz, but damaged or not compressed"):
        read_volume(path)
    path.write_bytes(gzip.compress(plain + bytes(1 << 24)))
    with pytest.raises(InputError, match=r"v\.nii\.gz: inflates to more than"):
        read_volume(path)


def test_refused_output(tmp_path, volume):
    with pytest.raises(InputError, match=r"volume\.xyz: a volume is written as"):
        write_volume(tmp_path / "volume.xyz", volume)
    with pytest.raises(InputError, match="does not exist"):
        write_volume(tmp_path / "nowhere" / "volume.mha", volume)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".mha", ".nrrd", ".nii", ".nii.gz"])
def test_a_full_disk_leaves_the_old_volume(tmp_path, suffix):
    path = tmp_path / f"volume{suffix}"
    path.write_bytes(b"old")
    script = (
        "import resource, signal, sys\n"
        "import numpy as np\n"
        "from deeprs2v_ros.errors import InputError\n"
        "from deeprs2v_ros.imaging.volume import Volume, write_volume\n"
        "volume = Volume(np.random.default_rng(1).integers(0, 255, (40, 40, 40)).astype(np.uint8), np.ones(3))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        "try:\n"
        "    write_volume(sys.argv[1], volume)\n"
        "except InputError:\n"
        "    sys.exit(3)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode == 3
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"old"]


@pytest.mark.parametrize("line", ["NDims = -1", "DimSize = 6 5 5", "ElementType = MET_DOUBLE"])
def test_a_field_that_is_there_twice_is_refused(tmp_path, volume, line):
    """SimpleITK takes the first of them, and crashes on some."""
    path = tmp_path / "volume.mha"
    write_volume(path, volume)
    path.write_bytes(path.read_bytes().replace(b"NDims", f"{line}\nNDims".encode(), 1))
    with pytest.raises(InputError, match=rf"volume\.mha: its field '{line.split()[0]}' is there twice"):
        read_volume(path)
