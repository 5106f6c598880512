"""Grey levels of images in every encoding of ROS, against the picture from which their bytes were made."""

import cv2
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.imaging.image_encodings import grey_levels

ROWS, COLUMNS = 6, 10
COLOURS = {"rgb": "RGB", "bgr": "BGR", "rgba": "RGBA", "bgra": "BGRA"}
PATTERNS = {"rggb": ("RG", "GB"), "bggr": ("BG", "GR"), "gbrg": ("GB", "RG"), "grbg": ("GR", "BG")}
REFUSED = [f"{kind}C{count}" for kind in ("8S", "16S", "32S", "32F", "64F") for count in (1, 2, 3, 4)]


def numbers(bits, *channels):
    """Numbers over the whole range, as bytes in a message of this machine's order."""
    return np.random.default_rng(bits).integers(0, 2**bits, (ROWS, COLUMNS, *channels), np.dtype(f"u{bits // 8}"))


def read(image, encoding, *, pad=0, big=False):
    """The grey levels of a message whose rows are those of ``image``, and ``pad`` bytes longer."""
    rows = image.astype(image.dtype.newbyteorder(">" if big else "<")).reshape(len(image), -1).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, pad)), constant_values=201)
    return grey_levels(rows.ravel(), (ROWS, COLUMNS), encoding, rows.shape[1], big)


def eight_bits(values):
    """Whole numbers of sixteen bits, each scaled exactly and rounded."""
    return (2 * 255 * values.astype(np.int64) + 65535) // (2 * 65535)


def expected(image):
    return image if image.dtype == np.uint8 else eight_bits(image)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("pad", [0, 3, 64])
@pytest.mark.parametrize("encoding", ["mono8", "8UC1", "mono16", "16UC1"])
def test_grey_stays_grey(encoding, pad, big):
    image = numbers(16 if "16" in encoding else 8)
    assert_array_equal(read(image, encoding, pad=pad, big=big), expected(image))


def test_every_number_of_sixteen_bits_is_scaled_and_rounded():
    every = np.arange(65536, dtype="<u2").reshape(256, 256)
    assert_array_equal(
        grey_levels(every.view(np.uint8).ravel(), (256, 256), "mono16", 512, is_bigendian=False), eight_bits(every)
    )


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("pad", [0, 5])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("order", COLOURS)
def test_colours_become_luma_whatever_their_alpha(order, bits, pad, big):
    image = numbers(bits, len(order))
    found = read(image, f"{order}{bits}", pad=pad, big=big)
    assert_array_equal(found, expected(cv2.cvtColor(image, getattr(cv2, f"COLOR_{COLOURS[order]}2GRAY"))))
    luma = sum(
        weight * image[..., order.index(name)] for name, weight in (("r", 0.299), ("g", 0.587), ("b", 0.114))
    ) / (1 if bits == 8 else 257)
    assert np.abs(found - luma).max() < 0.51
    if order.startswith("bgr"):
        assert_array_equal(read(image, f"{bits}UC{len(order)}", pad=pad, big=big), found)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_bayer_patterns_of_one_colour(pattern, bits):
    scale = 1 if bits == 8 else 257
    colour = {"R": 200 * scale, "G": 100 * scale, "B": 10 * scale}
    row = [[colour[PATTERNS[pattern][i % 2][j % 2]] for j in range(COLUMNS)] for i in range(ROWS)]
    found = read(np.array(row, np.dtype(f"u{bits // 8}")), f"bayer_{pattern}{bits}", pad=2)
    assert_array_equal(found, np.full((ROWS, COLUMNS), 120))  # 119.64


@pytest.mark.parametrize("pad", [0, 7])
@pytest.mark.parametrize(("encoding", "place"), [("uyvy", 1), ("yuv422", 1), ("yuyv", 0), ("yuv422_yuy2", 0)])
def test_packed_yuv_shows_its_y(encoding, place, pad):
    pairs = numbers(8, 2)
    found = read(pairs, encoding, pad=pad)
    assert_array_equal(found, pairs[..., place])
    code = cv2.COLOR_YUV2GRAY_UYVY if place else cv2.COLOR_YUV2GRAY_YUY2
    assert_array_equal(found, cv2.cvtColor(pairs, code).reshape(ROWS, COLUMNS))


@pytest.mark.parametrize("rows", [6, 7])
@pytest.mark.parametrize(("encoding", "chroma"), [("nv21", {6: 3, 7: 4}), ("nv24", {6: 12, 7: 14})])
def test_planar_yuv_shows_its_first_plane(encoding, chroma, rows):
    planes = np.random.default_rng(0).integers(0, 256, (rows + chroma[rows], 16), np.uint8)
    found = grey_levels(planes.ravel(), (rows, COLUMNS), encoding, 16, is_bigendian=False)
    assert_array_equal(found, planes[:rows, :COLUMNS])
    with pytest.raises(InputError, match=encoding):
        grey_levels(planes[:-1].ravel(), (rows, COLUMNS), encoding, 16, is_bigendian=False)


@pytest.mark.parametrize(("encoding", "bytes_a_pixel"), [("nv21", 1.5), ("nv24", 3)])
def test_planes_without_padding_may_be_counted_as_rows_of_all_bytes(encoding, bytes_a_pixel):
    step = int(COLUMNS * bytes_a_pixel)
    data = np.random.default_rng(0).integers(0, 256, ROWS * step, np.uint8)
    found = grey_levels(data, (ROWS, COLUMNS), encoding, step, is_bigendian=False)
    assert_array_equal(found, data[: ROWS * COLUMNS].reshape(ROWS, COLUMNS))


@pytest.mark.parametrize(
    "encoding", [*REFUSED, "8UC2", "16UC2", "8UC5", "16UC0", "", "jpeg", "MONO8", "mono8 ", "x" * 999]
)
def test_what_has_no_grey_levels_is_refused_by_name(encoding):
    with pytest.raises(InputError, match="image: the encoding") as refused:
        grey_levels(np.zeros(1600, np.uint8), (10, 10), encoding, 160, is_bigendian=False)
    assert repr(encoding[:40]) in str(refused.value) and len(str(refused.value)) < 120


MALFORMED = {
    "nothing": {"data": 0},
    "too short": {"data": 159},
    "too long": {"data": 161},
    "one row more": {"data": 176},
    "rows shorter than the picture": {"step": 15, "data": 150},
    "no step": {"step": 0},
    "no rows": {"shape": (0, 16), "data": 0},
    "no columns": {"shape": (10, 0), "step": 0, "data": 0},
    "no columns, but data": {"shape": (10, 0)},
    "rows without end": {"shape": (4_000_000_000, 16)},
    "columns without end": {"shape": (10, 4_000_000_000)},
    "a size that overflows 32 bits": {"shape": (2**28 + 10, 16)},
    "a step that overflows 32 bits": {"shape": (2**31, 16), "step": 2**31},
    "eight bits for sixteen": {"encoding": "mono16"},
    "grey for colours": {"encoding": "bgr8"},
    "grey for two planes": {"encoding": "nv21"},
    "two planes without columns": {"encoding": "nv24", "shape": (10, 0), "step": 0, "data": 0},
}


@pytest.mark.parametrize("fault", MALFORMED)
def test_bytes_that_are_not_those_of_the_image_are_refused(fault):
    case = {"data": 160, "shape": (10, 16), "encoding": "mono8", "step": 16} | MALFORMED[fault]
    data = np.zeros(case.pop("data"), np.uint8)
    with pytest.raises(InputError, match=f"image: {len(data)} bytes in rows of {case['step']} are not "):
        grey_levels(data, is_bigendian=False, **case)


def test_rubbish_is_read_or_refused():
    rng = np.random.default_rng(5)
    encodings = ["mono8", "mono16", "bgr8", "rgba16", "bayer_grbg8", "yuv422", "nv21", "nv24", "8UC3", "64FC2", ""]
    read_ones = 0
    for _ in range(3000):
        shape = tuple(rng.choice([0, 1, 2, 3, 4, 5, 2**32 - 1], 2, p=[0.05, 0.2, 0.2, 0.2, 0.2, 0.1, 0.05]).tolist())
        data, step = rng.integers(0, 256, rng.integers(0, 60), np.uint8), int(rng.integers(0, 20))
        if rng.random() < 0.7:
            data = np.resize(data, min(step * shape[0], 100)) if len(data) else data
        try:
            found = grey_levels(data, shape, str(rng.choice(encodings)), step, bool(rng.integers(2)))
        except InputError:
            continue
        read_ones += 1
        assert found.shape == shape and found.dtype == np.uint8 and found.flags.c_contiguous
    assert read_ones > 100


def test_the_picture_does_not_change_with_the_message():
    data = np.zeros(160, np.uint8)
    data.flags.writeable = False  # as in a bag
    image = grey_levels(data, (10, 16), "mono8", 16, is_bigendian=False)
    image[0, 0] = 1
    assert not data.any()
