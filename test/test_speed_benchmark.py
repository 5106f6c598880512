"""The benchmark of speed: its arithmetic, its baselines against ours, and its quick run as a whole."""

import importlib.util
import json
import sys
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from deeprs2v_ros.geometry import about, from_motion, rigid
from deeprs2v_ros.imaging.slicing import Lattice, SampledVolume, take_slice
from deeprs2v_ros.similarity import masked_lncc

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def speed():
    before = set(sys.modules)
    specification = importlib.util.spec_from_file_location("speed_benchmark", BENCHMARKS / "speed.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    yield module
    sys.path.remove(str(BENCHMARKS))
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "measuring":
            del sys.modules[name]


@pytest.fixture(scope="module")
def measuring(speed):
    """The modules by name."""
    return lambda name: sys.modules[f"measuring.{name}"]


def test_ratios_are_of_neighbours_in_time(measuring):
    # Both slow down to a third while something else runs: the ratio does not care.
    fast = np.array([1.0, 1.0, 3.0, 3.0, 1.0])
    found = measuring("timing").ratio(10.0 * fast, fast)
    assert (found.low, found.median, found.high) == pytest.approx((10.0, 10.0, 10.0))
    spread = measuring("timing").ratio(np.linspace(1.0, 2.0, 11), np.ones(11))
    assert (spread.low, spread.median, spread.high) == pytest.approx((1.1, 1.5, 1.9))
    assert str(spread) == "1.50 (1.10 to 1.90)"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0123456, "0.0123"), (4.564, "4.56"), (12.34, "12.3"), (1234.5, "1234"), (0.0, "0"), (np.nan, "-")],
)
def test_numbers_have_three_digits(measuring, value, text):
    assert measuring("timing").significant(value) == text


def test_works_take_turns(measuring):
    calls = []
    works = {name: lambda name=name: calls.append(name) for name in "ab"}
    times = measuring("timing").in_turns(works, 3)
    assert [len(times[name].wall) for name in "ab"] == [3, 3]
    # After the two calls each that warm up and say how many make a repetition.
    assert [name for name, _ in groupby(calls[4:])] == list("ababab")
    assert times["a"].least <= times["a"].median <= times["a"].p95


def test_tables_are_markdown_and_whole(measuring):
    table = measuring("report").Table(("what", "ms"), [("a | b", "1")])
    assert table.to_markdown().splitlines() == ["| what | ms |", "|---|---:|", "| a / b | 1 |"]
    with pytest.raises(ValueError, match="1 cells under 2 columns"):
        measuring("report").Table(("what", "ms"), [("alone",)]).to_markdown()


def test_json_holds_plain_numbers(measuring):
    times = measuring("timing").Times([1.0, 3.0], [2.0, 2.0])
    found = measuring("report").plain({"a": np.float32(0.5), 4: (np.int64(2), float("nan")), "t": times})
    assert json.loads(json.dumps(found)) == {
        "a": 0.5,
        "4": [2, None],
        "t": {"repetitions": 2, "least": 1.0, "median": 2.0, "p95": 2.9, "cpu_median": 2.0, "cpu_p95": 2.0},
    }


def test_the_floor_is_the_longer_of_moving_and_computing(measuring):
    floors = measuring("floor").floors
    machine = {"memory": 10.0, "cache": 100.0, "operations": 1000.0}
    counted = {"operations": 500, "bytes_streamed": 10, "bytes_volume": 20}
    assert floors(counted, machine) == pytest.approx((2.1, 0.5))  # the volume from memory; else computing
    assert floors({**counted, "operations": 9000}, machine) == pytest.approx((9.0, 9.0))


@pytest.fixture
def plane():
    """A volume without gaps, a lattice within it, a pose, and the frame there."""
    array = ndimage.gaussian_filter(np.random.default_rng(0).random((40, 50, 60), dtype=np.float32), 2.0)
    volume = SampledVolume(30.0 * array - 15.0, np.diag([1 / 1.5, 1 / 1.5, 1 / 1.5, 1.0]))
    lattice = Lattice((21, 24), (1.5, 1.5), (0.0, 0.0))
    pose = rigid(translation=(20.0, 18.0, 26.0)) @ from_motion([0, 0, 0, 0.1, 0.05, -0.1])
    frame = take_slice(volume, lattice, pose @ from_motion([0.6, -0.4, 0.5, 0, 0.01, 0.02]), np.ones((21, 24), bool))
    assert frame.mask.all()
    return volume, lattice, pose, frame.values


def test_bricks_are_those_of_the_words(measuring, plane):
    """Counted point by point."""
    from deeprs2v_ros.imaging.packing import pack
    from deeprs2v_ros.registration.belief import Belief
    from deeprs2v_ros.registration.cells import in_cells
    from deeprs2v_ros.registration.correction import Task, believing

    volume, lattice, pose, frame = plane
    cells = in_cells(frame, np.ones(frame.shape, bool), lattice.x - 10, lattice.y - 8, lattice.spacing, 15)
    task = Task(pack(volume), cells, np.array([10.0, 8.0, 0.0]), 1.5, np.empty(0), np.empty(0), 0.0)
    task = believing(task, [Belief(pose, np.eye(6))], 0.0)
    touched = set()
    for x in lattice.x:
        for y in lattice.y:
            place = volume.voxel_from_volume @ pose @ [x, y, 0.0, 1.0]
            i, j, k = np.floor(place[:3]).astype(int) + 1  # the border
            touched |= {(k // 2, j // 2, i // 2), ((k + 1) // 2, j // 2, i // 2)}
    assert measuring("floor").bricks(task, pose) == pytest.approx(len(touched), abs=2)  # lattices are of 32 bits
    counted = measuring("floor").count(task, pose)
    assert counted["points"] == 21 * 24


def test_the_authors_way_has_the_slope_of_its_own_value(measuring, plane):
    volume, lattice, pose, frame = plane
    way = measuring("baselines").WholeVolume(volume, lattice, frame)
    value, slope = way.iterate(pose)
    assert way.points == 40 * 21 * 24
    assert 0.5 < value < 1.0
    size = 0.02
    for axis in range(3):
        step = size * np.eye(6)[axis]
        there, back = (way.iterate(pose @ from_motion(sign * step))[0] for sign in (1.0, -1.0))
        assert slope[axis] == pytest.approx((there - back) / (2.0 * size), rel=0.1, abs=2e-4)


def test_plane_and_boxes_see_what_we_see(measuring, plane):
    volume, lattice, pose, frame = plane
    boxes = measuring("baselines").PlaneAndBoxes(volume, lattice, frame, 7)
    ours = masked_lncc(
        frame, take_slice(volume, lattice, pose, np.ones(frame.shape, bool)).values, np.ones(frame.shape, bool), 7
    )
    assert boxes.evaluate(pose) == pytest.approx(ours.value, abs=0.05)  # theirs has no weights, and other edges
    at_home = pose @ from_motion([0.6, -0.4, 0.5, 0, 0.01, 0.02])
    assert boxes.evaluate(at_home) == pytest.approx(1.0, abs=1e-3)


@pytest.fixture(scope="module")
def subject(measuring):
    """Small and coarse."""
    return measuring("subject").simulated(1, 3.0, 8.0, 2, 2)


def test_a_shrunk_frame_shows_the_same_place(measuring, subject):
    small = measuring("scaling").shrunk(subject, 0.5)
    assert small.mask.shape == tuple(round(0.5 * n) for n in subject.mask.shape)
    corner = np.array([*subject.mask.shape[::-1], 0.0]) - [0.5, 0.5, 0.0]
    small_corner = np.array([*small.mask.shape[::-1], 0.0]) - [0.5, 0.5, 0.0]
    for pixel, small_pixel in (((-0.5, -0.5, 0.0), (-0.5, -0.5, 0.0)), (corner, small_corner)):
        places = [each.frames.world_from_pixel[0] @ [*at, 1.0] for each, at in ((subject, pixel), (small, small_pixel))]
        np.testing.assert_allclose(*places, atol=1e-9)


def test_displaced_frames_are_displaced_about_their_centre(subject):
    starts = list(subject.displaced(3, 1.0, 2))
    assert len(starts) == 4
    for _, true, start in starts:
        shift, angle = subject.error(start, true)
        assert 0.0 < shift <= np.linalg.norm([10, 10, 5])
        assert 0.0 < angle < 13.0
    true = starts[0][1]
    moved = true @ about(subject.centre, from_motion([3.0, 0.0, 4.0, 0.0, np.radians(2.0), 0.0]))
    assert subject.error(moved, true) == pytest.approx((5.0, 2.0))
    again = list(subject.displaced(3, 1.0, 2))
    np.testing.assert_array_equal([start for *_, start in starts], [start for *_, start in again])


def test_the_quick_run_writes_a_page_and_numbers(speed, tmp_path):
    sections = ["frame", "tracking", "lost", "evaluation", "scaling", "floor"]
    assert speed.main(["--quick", "--output", str(tmp_path / "results"), "--only", *sections]) == 0
    found = json.loads((tmp_path / "results" / "speed.json").read_text())
    page = (tmp_path / "results" / "speed.md").read_text()
    assert list(found["sections"]) == sections
    assert {"python", "numpy", "numba", "SimpleITK", "torch"} <= set(found["versions"])
    assert "core" in found["machine"]
    for section in found["sections"].values():
        assert f"## {section['title']}\n" in page
    frame = found["sections"]["frame"]
    assert frame["before"]["mean_mm"] > 3.0
    assert frame["methods"]["`lncc`"]["mean_mm"] < 1.0
    assert frame["ratio"]["p10"] <= frame["ratio"]["median"] <= frame["ratio"]["p90"]
    for condition in found["sections"]["tracking"]["conditions"].values():
        assert condition["accepted"] > 0.9
        assert condition["mean_mm"] < 0.5
        assert condition["seconds"]["median"] <= condition["seconds"]["p95"]
    assert found["sections"]["lost"]["accepted_wrong"] == 0
    assert found["sections"]["lost"]["right"] == 1.0
    for level in found["sections"]["floor"]["levels"].values():
        assert level["floor_cached"] <= level["floor"]
        assert level["operations"] > 100 * level["points"]
    assert set(found["sections"]["scaling"]["hypotheses"]) == {"64", "250", "1000", "4000"}
    assert found["sections"]["evaluation"]["old_given"]["us"] == [35.0, 130.0, 585.0, 4200.0]


def test_faults_are_one_line(speed, tmp_path, capsys):
    for options, fault in (
        (["--data", str(tmp_path / "none")], "none: no such folder"),
        (["--quick", "--only", "magic"], "--only: 'magic' is none of frame, tracking"),
    ):
        assert speed.main([*options, "--output", str(tmp_path / "results")]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("speed: error: ")
        assert fault in error
    assert not (tmp_path / "results").exists()
