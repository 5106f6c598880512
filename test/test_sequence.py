import re
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.imaging.sequence import Sequence, read_sequence, write_sequence

SUFFIXES = (".igs.mha", ".igs.nrrd")


@pytest.fixture
def sequence():
    rng = np.random.default_rng(5)
    transforms = np.tile(np.eye(4), (4, 1, 1))
    transforms[:, :3, :3] = Rotation.random(4, random_state=1).as_matrix() * [0.3, 0.31, 1.0]
    transforms[:, :3, 3] = rng.normal(0, 100, (4, 3))
    frames = rng.integers(0, 256, (4, 12, 17), dtype=np.uint8)
    return Sequence(frames, transforms, 1.7e9 + np.array([0.0, 0.033, 0.067, 0.1]), np.ones(4, dtype=bool))


def plus_file(path, fields, frames, compressed=True, extra=()):
    """An .igs.mha put together by hand; ``fields`` is a list of (name, value) for each frame."""
    *shape, channels = frames.shape if frames.ndim == 4 else (*frames.shape, 1)
    count, rows, columns = shape
    body = zlib.compress(frames.tobytes()) if compressed else frames.tobytes()
    kinds = {"uint8": "MET_UCHAR", "int16": "MET_SHORT", "float32": "MET_FLOAT"}
    head = ["ObjectType = Image", "NDims = 3", "BinaryData = True", "BinaryDataByteOrderMSB = False"]
    head += [f"CompressedData = {compressed}"] + ([f"CompressedDataSize = {len(body)}"] if compressed else [])
    head += [f"DimSize = {columns} {rows} {count}", f"ElementNumberOfChannels = {channels}", *extra]
    head += [f"ElementType = {kinds[frames.dtype.name]}", "Kinds = domain domain list"]
    head += [f"Seq_Frame{i:04d}_{name} = {value}" for i, frame in enumerate(fields) for name, value in frame]
    path.write_bytes("\n".join([*head, "ElementDataFile = LOCAL", ""]).encode() + body)
    return path


def transform_text(value=0.5):
    return f"{value} 0 0 1 0 {value} 0 2 0 0 1 3 0 0 0 1"


def three_frames(**changes):
    """Fields of three good frames; ``changes`` replace, or with None remove, those of frame 1."""
    fields = []
    for index in range(3):
        frame = {"ImageToWorldTransform": transform_text(), "Timestamp": f"{index / 10}"}
        if index == 1:
            frame.update(changes)
        fields.append([(name, value) for name, value in frame.items() if value is not None])
    return fields


PIXELS = np.random.default_rng(0).integers(0, 256, (3, 40, 50), dtype=np.uint8)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_written_sequence_comes_back(tmp_path, sequence, suffix):
    path = tmp_path / f"sweep{suffix}"
    write_sequence(path, sequence)
    back = read_sequence(path)
    assert np.array_equal(back.frames, sequence.frames)
    assert back.frames.flags.writeable
    np.testing.assert_allclose(back.world_from_pixel, sequence.world_from_pixel, rtol=1e-11)
    np.testing.assert_allclose(back.timestamps, sequence.timestamps, atol=1e-6)
    assert back.valid.all()
    assert list(tmp_path.iterdir()) == [path]


def test_writing_is_repeatable(tmp_path, sequence):
    for name in ("a.igs.mha", "b.igs.mha"):
        write_sequence(tmp_path / name, sequence)
    assert (tmp_path / "a.igs.mha").read_bytes() == (tmp_path / "b.igs.mha").read_bytes()


def test_simpleitk_reads_the_same_pixels(tmp_path, sequence):
    write_sequence(tmp_path / "sweep.igs.mha", sequence)
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "sweep.igs.mha"))), sequence.frames)


def test_frames_that_are_not_valid_stay_so(tmp_path, sequence):
    transforms = sequence.world_from_pixel.copy()
    transforms[2] = np.nan
    valid = np.array([True, True, False, True])
    for suffix in SUFFIXES:
        write_sequence(tmp_path / f"s{suffix}", Sequence(sequence.frames, transforms, sequence.timestamps, valid))
        back = read_sequence(tmp_path / f"s{suffix}")
        assert np.array_equal(back.valid, valid)
        assert np.isnan(back.world_from_pixel[2]).all()


@pytest.mark.parametrize("compressed", [True, False])
def test_a_bare_file_without_statuses_and_stamps(tmp_path, compressed):
    fields = [[("ImageToWorldTransform", transform_text())] for _ in range(3)]
    back = read_sequence(plus_file(tmp_path / "s.igs.mha", fields, PIXELS, compressed))
    assert np.array_equal(back.frames, PIXELS)
    assert back.valid.all()
    np.testing.assert_array_equal(back.timestamps, [0, 1, 2])
    np.testing.assert_allclose(back.world_from_pixel[0] @ [4, 6, 0, 1], [3, 5, 3, 1])


@pytest.mark.parametrize(
    "changes",
    [
        {"ImageToWorldTransformStatus": "INVALID"},
        {"ImageToWorldTransformStatus": "INVALID", "ImageToWorldTransform": None},
        {"ImageToWorldTransformStatus": "MISSING", "ImageToWorldTransform": "nan " * 16},
        {"ImageStatus": "INVALID"},
    ],
)
def test_a_status_other_than_ok_makes_a_frame_invalid(tmp_path, changes):
    back = read_sequence(plus_file(tmp_path / "s.igs.mha", three_frames(**changes), PIXELS))
    np.testing.assert_array_equal(back.valid, [True, False, True])


def test_a_four_dimensional_file_with_flat_frames(tmp_path):
    path = plus_file(tmp_path / "s.igs.mha", three_frames(), PIXELS)
    path.write_bytes(path.read_bytes().replace(b"DimSize = 50 40 3", b"DimSize = 50 40 1 3"))
    assert np.array_equal(read_sequence(path).frames, PIXELS)


def test_colour_becomes_luminance(tmp_path):
    colour = np.zeros((3, 10, 12, 3), np.uint8)
    colour[..., 0] = 200
    back = read_sequence(plus_file(tmp_path / "s.igs.mha", three_frames(), colour))
    assert back.frames.shape == (3, 10, 12)
    assert np.all(back.frames == round(0.299 * 200))


def test_colour_in_nrrd(tmp_path, sequence):
    path = tmp_path / "s.igs.nrrd"
    write_sequence(path, sequence)
    head, _, _ = path.read_bytes().partition(b"\n\n")
    head = head.replace(b"sizes: 17 12 4", b"sizes: 3 17 12 4").replace(b"kinds: d", b"kinds: vector d")
    head = head.replace(b"encoding: gzip", b"encoding: raw").replace(b"dimension: 3", b"dimension: 4")
    path.write_bytes(head + b"\n\n" + np.repeat(sequence.frames[..., None], 3, axis=-1).tobytes())
    assert np.array_equal(read_sequence(path).frames, sequence.frames)


def test_whole_numbers_of_another_type_are_taken_if_they_fit(tmp_path):
    wide = PIXELS.astype(np.int16)
    path = plus_file(tmp_path / "s.igs.mha", three_frames(), wide)
    assert np.array_equal(read_sequence(path).frames, PIXELS)
    big = plus_file(tmp_path / "b.igs.mha", three_frames(), wide.byteswap())
    big.write_bytes(big.read_bytes().replace(b"OrderMSB = False", b"OrderMSB = True"))
    assert np.array_equal(read_sequence(big).frames, PIXELS)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"ImageToWorldTransform": None}, "frame 1: has no ImageToWorldTransform"),
        ({"ImageToWorldTransform": transform_text().replace("3", "nan")}, "frame 1: .*NaN or infinite"),
        ({"ImageToWorldTransform": transform_text().replace("3", "inf")}, "frame 1: .*NaN or infinite"),
        ({"ImageToWorldTransform": transform_text(0)}, "frame 1: .*singular"),
        ({"ImageToWorldTransform": "1 1 0 0 1 1 0 0 0 0 1 0 0 0 0 1"}, "frame 1: .*singular"),
        ({"ImageToWorldTransform": "1 2 3"}, "frame 1: .*3 numbers instead of 16"),
        ({"ImageToWorldTransform": "x " * 16}, "frame 1: .*not made of numbers"),
        ({"ImageToWorldTransform": transform_text()[:-1] + "2"}, "frame 1: .*last row"),
        ({"Timestamp": None}, "frame 1: has no usable Timestamp"),
        ({"Timestamp": "nan"}, "frame 1: has no usable Timestamp"),
        ({"Timestamp": "1e300"}, "frame 1: has no usable Timestamp"),
        ({"ImageToWorldTransform": transform_text(1e300)}, r"frame 1: .*beyond 1e\+06 mm"),
    ],
)
def test_refused_frame(tmp_path, changes, fault):
    path = plus_file(tmp_path / "bad.igs.mha", three_frames(**changes), PIXELS)
    with pytest.raises(InputError, match=rf"bad\.igs\.mha: {fault}") as caught:
        read_sequence(path)
    assert "\n" not in str(caught.value)


def test_a_sequence_without_transforms(tmp_path):
    path = plus_file(tmp_path / "bare.igs.mha", [[], [], []], PIXELS)
    with pytest.raises(InputError, match=r"bare\.igs\.mha: has no ImageToWorldTransform"):
        read_sequence(path)
    other = [[("ProbeToTrackerTransform", transform_text())]] * 3
    with pytest.raises(InputError, match=r"only ProbeToTrackerTransform"):
        read_sequence(plus_file(path, other, PIXELS))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.99, 0.6, 0.1, 0.0])
def test_truncated_sequence(tmp_path, sequence, suffix, share):
    path = tmp_path / f"cut{suffix}"
    write_sequence(path, sequence)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match=r"cut\.igs.*truncated|cut\.igs.*not a MetaImage"):
        read_sequence(path)


def test_truncated_without_compression(tmp_path):
    path = plus_file(tmp_path / "cut.igs.mha", three_frames(), PIXELS, compressed=False)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"cut\.igs\.mha: truncated: 5990 of 6000 bytes"):
        read_sequence(path)


def test_damaged_pixels(tmp_path):
    path = plus_file(tmp_path / "s.igs.mha", three_frames(), PIXELS)
    content = bytearray(path.read_bytes())
    content[-3000:-2000] = bytes(1000)
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"s\.igs\.mha: the compressed pixel data are damaged"):
        read_sequence(path)


def test_a_header_that_promises_the_impossible(tmp_path):
    path = plus_file(tmp_path / "s.igs.mha", three_frames(), PIXELS)
    path.write_bytes(path.read_bytes().replace(b"DimSize = 50 40 3", b"DimSize = 90000 90000 3"))
    with pytest.raises(InputError, match=r"s\.igs\.mha: truncated"):
        read_sequence(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("sizes", ["17 12 4294967296", "2147483648 2147483648 4", "17 12 99999999", "1 1 " + "9" * 30])
def test_sizes_beyond_all_bounds(tmp_path, sequence, suffix, sizes):
    path = tmp_path / f"huge{suffix}"
    write_sequence(path, sequence)
    path.write_bytes(path.read_bytes().replace(b"17 12 4", sizes.encode()))
    with pytest.raises(InputError, match=r"huge\.igs\.\w+: (truncated|its header asks for)"):
        read_sequence(path)


def test_more_pixels_than_are_read_from_one_file(tmp_path, monkeypatch):
    monkeypatch.setattr("deeprs2v_ros.imaging.headers.MOST_BYTES", PIXELS.size - 1)
    path = plus_file(tmp_path / "long.igs.mha", three_frames(), PIXELS)
    with pytest.raises(InputError, match=r"long\.igs\.mha: its header asks for 6000 bytes of pixels, more than 5999"):
        read_sequence(path)


def test_more_frames_than_the_header_has_transforms_for(tmp_path):
    path = plus_file(tmp_path / "s.igs.mha", three_frames(), np.zeros((4000, 1, 1), np.uint8))
    with pytest.raises(InputError, match=r"s\.igs\.mha: frame 3: has no ImageToWorldTransform"):
        read_sequence(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pixels_that_inflate_to_more_than_the_header_says(tmp_path, sequence, suffix):
    path = tmp_path / f"bomb{suffix}"
    write_sequence(path, sequence)
    end = b"LOCAL\n" if suffix.endswith("mha") else b"\n\n"
    head = path.read_bytes().partition(end)[0]
    pack = zlib.compressobj(9, wbits=15 if suffix.endswith("mha") else 31)
    body = b"".join(pack.compress(bytes(1 << 20)) for _ in range(200)) + pack.flush()
    path.write_bytes(re.sub(rb"CompressedDataSize.*\n", b"", head) + end + body)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"bomb\.igs\.\w+: its pixel data inflate to more than the 816 bytes"):
        read_sequence(path)
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ((b"DimSize = 50 40 3", b"DimSize = 50 forty 3"), "no usable DimSize"),
        ((b"DimSize = 50 40 3", b"DimSize = 50 0 3"), "is empty"),
        ((b"DimSize = 50 40 3", b"DimSize = 50 40 3 2"), "sizes 50 40 3 2"),
        ((b"MET_UCHAR", b"MET_OTHER"), "MET_OTHER"),
        ((b"= LOCAL", b"= pixels.raw"), "pixels are in another file"),
        ((b"Channels = 1", b"Channels = 2"), "2 values a pixel"),
        ((b"Channels = 1", b"Channels = \xb2"), "no usable ElementNumberOfChannels"),
        ((b"Channels = 1", b"Channels = 99999999999999999999"), "no usable ElementNumberOfChannels"),
    ],
)
def test_refused_header(tmp_path, change, fault):
    path = plus_file(tmp_path / "odd.igs.mha", three_frames(), PIXELS)
    path.write_bytes(path.read_bytes().replace(*change))
    with pytest.raises(InputError, match=rf"odd\.igs\.mha: .*{fault}"):
        read_sequence(path)


def test_refused_pixels(tmp_path):
    with pytest.raises(InputError, match="float32 pixels"):
        read_sequence(plus_file(tmp_path / "f.igs.mha", three_frames(), PIXELS.astype(np.float32)))
    with pytest.raises(InputError, match="pixels from 0 to 4095"):
        read_sequence(plus_file(tmp_path / "w.igs.mha", three_frames(), np.int16([[[0, 4095]]] * 3)))


def test_refused_files(tmp_path, sequence):
    with pytest.raises(InputError, match=r"none\.igs\.mha: no such file"):
        read_sequence(tmp_path / "none.igs.mha")
    (tmp_path / "s.igs.nrrd").write_bytes(b"NRRD0004\ntype: uchar\nsizes: 2 2\nencoding: bzip2\n\n")
    with pytest.raises(InputError, match="encoding 'bzip2' is not read"):
        read_sequence(tmp_path / "s.igs.nrrd")
    with pytest.raises(InputError, match=r"s\.avi: a sequence is written as"):
        write_sequence(tmp_path / "s.avi", sequence)
    with pytest.raises(InputError, match="does not exist"):
        write_sequence(tmp_path / "nowhere" / "s.igs.mha", sequence)


@pytest.fixture
def sequence_io(shared, monkeypatch):
    tools = shared.parent / "tools"
    if not tools.is_dir():
        pytest.skip(f"no independent reader at {tools}")
    monkeypatch.setattr(sys, "path", [str(tools), *sys.path])
    return pytest.importorskip("sequence_io")


@pytest.mark.parametrize("name", ["liver_sweep/frames.igs.mha", "synthetic_sweeps/frames.igs.mha"])
def test_recordings_read_and_written_as_an_independent_reader_has_it(tmp_path, shared, sequence_io, name):
    frames, transforms, times = sequence_io.read_sequence(shared / name)
    ours = read_sequence(shared / name)
    assert np.array_equal(ours.frames, frames)
    assert np.array_equal(ours.world_from_pixel, transforms)
    assert np.array_equal(ours.timestamps, times)
    write_sequence(tmp_path / "copy.igs.mha", ours)
    frames, transforms, times = sequence_io.read_sequence(tmp_path / "copy.igs.mha")
    assert np.array_equal(ours.frames, frames)
    np.testing.assert_allclose(transforms, ours.world_from_pixel, rtol=1e-11)
    np.testing.assert_allclose(times, ours.timestamps, atol=1e-6)
