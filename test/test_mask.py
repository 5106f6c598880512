import cv2
import numpy as np
import pytest

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.imaging.mask import find_mask, read_mask
from deeprs2v_ros.imaging.sequence import read_sequence

SHAPE = (480, 640)


def fan(apex_y, inner, outer, half_angle):
    """A probe's fan, its apex above the middle of the picture; ``inner`` 0 is a phased array's sector."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    y, x = y - apex_y, x - SHAPE[1] / 2
    radius = np.hypot(x, y)
    return (radius > inner) & (radius < outer) & (np.abs(np.arctan2(x, y)) < np.radians(half_angle))


def polygon():
    area = np.zeros(SHAPE, np.uint8)
    cv2.fillPoly(area, [np.array([[150, 20], [500, 20], [600, 300], [520, 460], [120, 460], [60, 250]])], 1)
    return area.astype(bool)


def rectangle():
    area = np.zeros(SHAPE, bool)
    area[30:450, 120:520] = True
    return area


AREAS = {
    "curvilinear": fan(-80, 110, 540, 32),
    "sector": fan(15, 0, 450, 40),
    "rectangle": rectangle(),
    "polygon": polygon(),
    "whole picture": np.ones(SHAPE, bool),
}


def recording(area, count, seed=0):
    """Speckle inside ``area`` that changes from frame to frame, darker with depth, with a deep shadow on one side."""
    rng = np.random.default_rng(seed)
    depth = np.linspace(1.0, 0.25, SHAPE[0])[:, None]
    frames = rng.rayleigh(35, (count, *SHAPE)) * depth
    frames[:, 260:, 330:380] = rng.integers(0, 3, (count, SHAPE[0] - 260, 50))  # behind a stone
    return np.where(area, np.clip(frames, 0, 255), 0).astype(np.uint8)


def with_screen(frames):
    """Text, a logo and a depth scale, as a grabbed screen has them."""
    frames = frames.copy()
    for frame in frames:
        cv2.putText(frame, "LIVER C5-1", (6, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 220, 2)
        cv2.putText(frame, "MI 1.2", (550, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 180, 1)
        cv2.rectangle(frame, (8, 440), (40, 470), 255, -1)
        for y in range(40, 460, 40):
            cv2.line(frame, (626, y), (634, y), 200, 1)
    return frames


def overlap(found, area):
    return np.count_nonzero(found & area) / np.count_nonzero(found | area)


def without_rim(area):
    """What `find_mask` is to give: its outermost rim is not trusted."""
    rim = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (13, 13))
    return cv2.erode(np.pad(area, 6).astype(np.uint8), rim)[6:-6, 6:-6].astype(bool)


@pytest.mark.parametrize("name", AREAS)
@pytest.mark.parametrize("count", [1, 2, 3, 12])
def test_area_is_found_whatever_its_shape(name, count):
    found = find_mask(recording(AREAS[name], count))
    assert overlap(found, without_rim(AREAS[name])) > 0.98
    assert not (found & ~AREAS[name]).any()


@pytest.mark.parametrize("name", ["curvilinear", "sector", "rectangle", "polygon"])
@pytest.mark.parametrize("count", [1, 12])
def test_text_and_scales_on_the_screen_are_left_out(name, count):
    found = find_mask(with_screen(recording(AREAS[name], count)))
    assert overlap(found, without_rim(AREAS[name])) > 0.97


def test_text_that_touches_the_area_is_left_out():
    frames = recording(AREAS["rectangle"], 8)
    frames[:, 200:220, 515:600] = 230
    assert overlap(find_mask(frames), without_rim(AREAS["rectangle"])) > 0.98


def test_noise_of_a_grabber_is_not_tissue():
    frames = recording(AREAS["curvilinear"], 6)
    noise = np.random.default_rng(1).integers(0, 3, frames.shape, dtype=np.uint8)
    assert overlap(find_mask(np.maximum(frames, noise)), without_rim(AREAS["curvilinear"])) > 0.97


def test_dark_frames_have_no_area():
    with pytest.raises(InputError, match="no valid area"):
        find_mask(np.zeros((5, *SHAPE), np.uint8))


def test_area_does_not_depend_on_frame_order():
    frames = recording(AREAS["polygon"], 5)
    assert np.array_equal(find_mask(frames), find_mask(frames[::-1]))


@pytest.mark.parametrize("name", ["liver_sweep", "synthetic_sweeps"])
def test_recordings(shared, name):
    frames = read_sequence(shared / name / "frames.igs.mha").frames
    given = read_mask(shared / name / "mask.png", frames.shape[1:])
    assert overlap(find_mask(frames), given) > 0.955


def test_mask_of_any_picture_format(tmp_path):
    area = AREAS["polygon"]
    for name, picture in {
        "grey.png": area.astype(np.uint8) * 255,
        "one.png": area.astype(np.uint8),
        "deep.png": area.astype(np.uint16) * 4000,
        "colour.png": np.repeat(area[..., None], 3, axis=-1).astype(np.uint8) * 90,
        "alpha.png": np.dstack([area, area, area, np.ones(SHAPE)]).astype(np.uint8) * 255,
        "mask.bmp": area.astype(np.uint8) * 255,
    }.items():
        cv2.imwrite(str(tmp_path / name), picture)
        assert np.array_equal(read_mask(tmp_path / name, SHAPE), area), name


def test_refused_masks(tmp_path):
    path = tmp_path / "mask.png"
    with pytest.raises(InputError, match=r"mask\.png: no such file"):
        read_mask(path, SHAPE)
    for content in (b"", b"not a picture"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"mask\.png: cannot be read as an image"):
            read_mask(path, SHAPE)
    cv2.imwrite(str(path), np.ones((10, 20), np.uint8))
    with pytest.raises(InputError, match=r"mask\.png: the mask has 20x10 pixels, the frames have 640x480"):
        read_mask(path, SHAPE)
    cv2.imwrite(str(path), np.zeros(SHAPE, np.uint8))
    with pytest.raises(InputError, match=r"mask\.png: the mask is empty"):
        read_mask(path, SHAPE)
