import csv
import re
import sys

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import binomtest, ttest_ind

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.evaluation.capture import bin_edges, capture_table, successes
from deeprs2v_ros.evaluation.confidence import confidence_table, risk_coverage
from deeprs2v_ros.evaluation.errors import PoseErrors, pose_errors
from deeprs2v_ros.evaluation.method import Method, clip_names, method_from_poses, method_from_start, pooled
from deeprs2v_ros.evaluation.poses import PoseRow, read_poses, write_poses
from deeprs2v_ros.evaluation.report import Condition, write_report
from deeprs2v_ros.evaluation.shares import wilson
from deeprs2v_ros.evaluation.tables import accuracy_table, reliability_table, runtime_table
from deeprs2v_ros.geometry import from_motion, inverse, rigid, split_pixel_transform
from deeprs2v_ros.imaging.sequence import Sequence, read_sequence

SHAPE = (40, 60)
SCALE = np.diag([0.3, 0.4, 1.0, 1.0])


def poses(count, seed=0):
    """Pixel transforms at random poses."""
    rng = np.random.default_rng(seed)
    rotations = Rotation.random(count, random_state=seed).as_matrix()
    return np.array([rigid(r, t) @ SCALE for r, t in zip(rotations, rng.normal(0, 50, (count, 3)), strict=True)])


def centre_to_image():
    """The image frame with its origin moved to the image's centre."""
    return rigid(translation=((SHAPE[1] - 1) / 2 * 0.3, (SHAPE[0] - 1) / 2 * 0.4, 0))


def moved(pixel_transforms, motions):
    """The poses after ``motions`` (tx, ty, tz, wx, wy, wz), each in its image's frame and about the image's centre."""
    c = centre_to_image()
    result = []
    for transform, motion in zip(pixel_transforms, motions, strict=True):
        pose, scale = split_pixel_transform(transform)
        result.append(pose @ c @ from_motion(motion) @ inverse(c) @ scale)
    return np.array(result)


@pytest.fixture
def reference():
    transforms = poses(5)
    return Sequence(np.zeros((5, *SHAPE), np.uint8), transforms, np.arange(5) / 10, np.ones(5, bool))


def rows_of(transforms, status="ACCEPTED", runtime_ms=50.0):
    return [PoseRow(i, i / 10, status, "", 0.9, 0.95, runtime_ms, t) for i, t in enumerate(transforms)]


def results(tmp_path, reference, error_mm, repeats=1, name="lncc", **fields):
    """POSES.csv of results that are off by random motions of ``error_mm``."""
    transforms = np.tile(reference.world_from_pixel, (repeats, 1, 1))
    motions = (
        np.random.default_rng(len(name)).normal(0, 1, (len(transforms), 6)) * error_mm * [1, 1, 1, 0.01, 0.01, 0.01]
    )
    path = tmp_path / f"{name}.csv"
    write_poses(path, rows_of(moved(transforms, motions), **fields))
    return path


def test_errors_are_the_motion_at_the_image_centre():
    truth = poses(20)
    motions = np.random.default_rng(1).normal(0, [3, 3, 3, 0.1, 0.1, 0.1], (20, 6))
    errors = pose_errors(truth, moved(truth, motions), SHAPE)
    np.testing.assert_allclose(errors.translation, motions[:, :3], atol=1e-9)
    np.testing.assert_allclose(errors.euclidean, np.linalg.norm(motions[:, :3], axis=1))
    np.testing.assert_allclose(errors.geodesic, np.degrees(np.linalg.norm(motions[:, 3:], axis=1)))


def test_euler_angles_are_those_about_the_image_axes():
    truth = poses(3)
    motions = np.zeros((3, 6))
    motions[:, 3:] = np.radians(np.diag([4.0, -7.0, 11.0]))
    np.testing.assert_allclose(pose_errors(truth, moved(truth, motions), SHAPE).euler, np.diag([4, -7, 11]), atol=1e-9)


def test_the_true_pose_has_no_error_and_another_world_changes_nothing():
    truth = poses(4)
    errors = pose_errors(truth, truth, SHAPE)
    assert max(errors.euclidean.max(), errors.geodesic.max()) < 1e-6
    result = moved(truth, np.random.default_rng(2).normal(0, 1, (4, 6)))
    world = rigid(Rotation.random(random_state=9).as_matrix(), [5, 6, 7])
    before, after = pose_errors(truth, result, SHAPE), pose_errors(world @ truth, world @ result, SHAPE)
    np.testing.assert_allclose(after.translation, before.translation, atol=1e-9)
    np.testing.assert_allclose(after.geodesic, before.geodesic, atol=1e-9)


def test_pixels_of_another_size_are_another_image():
    truth = poses(2)
    with pytest.raises(InputError, match=r"pose 0: has pixels of 0\.6 x 0\.8 mm, the reference of 0\.3 x 0\.4 mm"):
        pose_errors(truth, truth @ np.diag([2, 2, 1, 1]), SHAPE)


def test_repeats_belong_to_the_same_reference_frames(tmp_path, reference):
    method = method_from_poses("lncc", results(tmp_path, reference, 0.0, repeats=3), reference)
    assert len(method.rows) == 15
    assert method.errors.euclidean.max() < 1e-6


def test_order_of_rows_does_not_matter(tmp_path, reference):
    path = results(tmp_path, reference, 1.0)
    forwards = method_from_poses("lncc", path, reference).errors
    write_poses(path, read_poses(path)[::-1])
    np.testing.assert_array_equal(method_from_poses("lncc", path, reference).errors.euclidean, forwards.euclidean)


def test_frames_whose_reference_is_not_valid_are_left_out(tmp_path, reference):
    path = results(tmp_path, reference, 1.0)
    transforms, valid = reference.world_from_pixel.copy(), reference.valid.copy()
    transforms[2], valid[2] = np.nan, False
    partial = Sequence(reference.frames, transforms, reference.timestamps, valid)
    assert [row.frame for row in method_from_poses("lncc", path, partial).rows] == [0, 1, 3, 4]
    without = [row for row in read_poses(path) if row.frame != 2]
    write_poses(path, without)
    assert len(method_from_poses("lncc", path, partial).rows) == 4


def test_refused_combinations(tmp_path, reference):
    path = tmp_path / "POSES.csv"
    write_poses(path, rows_of(poses(4)))
    with pytest.raises(InputError, match=r"POSES\.csv: its 4 frames do not hold each of the reference's 5"):
        method_from_poses("a", path, reference)
    rows = rows_of(reference.world_from_pixel)
    write_poses(path, [*rows[:4], rows[0]])
    with pytest.raises(InputError, match=r"POSES\.csv: frame 0 appears more than once"):
        method_from_poses("a", path, reference)
    write_poses(path, rows_of(reference.world_from_pixel @ np.diag([3, 3, 1, 1])))
    with pytest.raises(InputError, match=r"POSES\.csv: pose 0: has pixels"):
        method_from_poses("a", path, reference)
    other = Sequence(
        reference.frames[:3], reference.world_from_pixel[:3], reference.timestamps[:3], reference.valid[:3]
    )
    with pytest.raises(InputError, match=r"START: holds 3 frames, not a multiple of the reference's 5"):
        method_from_start("START", other, reference)


def test_accuracy_table_of_known_errors(tmp_path, reference):
    motions = np.zeros((5, 6))
    motions[:, 0] = [3, -3, 3, -3, 12]
    motions[:, 5] = np.radians([2, 2, -2, -2, 2])
    path = tmp_path / "known.csv"
    write_poses(path, rows_of(moved(reference.world_from_pixel, motions)))
    table = accuracy_table([method_from_poses("known", path, reference)])
    assert table.rows == (
        ("known", "4.80", "0.00", "0.00", "4.80 ± 3.60", "-", "0.00", "0.00", "2.00", "2.00 ± 0.00", "-", "4/5"),
    )
    assert "Dunnett" not in table.note


def test_dunnett_of_two_samples_is_students_t(tmp_path, reference):
    first = method_from_poses("a", results(tmp_path, reference, 1.0, 4, "a"), reference)
    last = method_from_poses("bb", results(tmp_path, reference, 1.3, 4, "bb"), reference)
    p = float(accuracy_table([first, last]).rows[0][5])
    assert p == pytest.approx(ttest_ind(first.errors.euclidean, last.errors.euclidean).pvalue, abs=2e-3)
    assert accuracy_table([first, last]) == accuracy_table([first, last])


def test_reliability_and_runtime(tmp_path, reference):
    motions = np.zeros((5, 6))
    motions[:, 1] = [0, 1, 3, 6, 20]
    rows = rows_of(moved(reference.world_from_pixel, motions), runtime_ms=40.0)
    rows[4] = PoseRow(4, 0.4, "REJECTED", "low", 0.1, 0.5, 140.0, rows[4].world_from_pixel)
    write_poses(tmp_path / "m.csv", rows)
    method = method_from_poses("m", tmp_path / "m.csv", reference)
    row = reliability_table([method]).rows[0]
    assert row == ("m", "5", "3.00", "17.20", "40.0%", "60.0%", "80.0%", "80.0%", "1 (25.0%)")
    assert runtime_table([method]).rows == (("m", "60.0", "40.0", "120.0", "140.0", "16.7"),)


def written(folder, methods, start=None, sources=()):
    """Write a report of one condition, the methods knowing their start if there is one."""
    known = [method.from_start(start) for method in methods] if start else methods
    return write_report(folder, [Condition("", tuple(known), start)], sources)


def test_report_is_one_page_that_needs_nothing_else(tmp_path, reference):
    method = method_from_poses("lncc <fast>", results(tmp_path, reference, 1.0), reference)
    other = method_from_poses("itk", results(tmp_path, reference, 3.0, name="itk"), reference)
    folder = tmp_path / "report"
    start = method_from_start("start", reference, reference)
    written(folder, [other, method], start, ["Reference: <somewhere>"])
    names = {path.name for path in folder.iterdir()}
    assert {
        "table1.csv",
        "table1.md",
        "runtime.csv",
        "cdf.png",
        "per_frame.csv",
        "index.html",
        "start_final.png",
        "capture.png",
        "capture.md",
        "confidence.csv",
        "confidence.png",
        "risk_coverage.csv",
    } <= names
    assert not any(name.startswith(("table2", "cdf_clips")) for name in names)
    page = (folder / "index.html").read_text()
    assert "lncc &lt;fast&gt;" in page
    assert "&lt;somewhere&gt;" in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert page.count("data:image/png;base64,") == 4
    with (folder / "per_frame.csv").open() as file:
        frames = list(csv.DictReader(file))
    assert [frame["method"] for frame in frames] == ["itk"] * 5 + ["lncc <fast>"] * 5
    np.testing.assert_allclose([float(f["euclidean_mm"]) for f in frames[5:]], method.errors.euclidean, rtol=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["itk.csv", "lncc.csv", "report"]


def test_a_second_report_replaces_the_first_and_nothing_else(tmp_path, reference):
    method = method_from_poses("lncc", results(tmp_path, reference, 1.0), reference)
    folder = tmp_path / "report"
    written(folder, [method], method_from_start("start", reference, reference))
    first = (folder / "index.html").read_bytes()
    (folder / "notes.txt").write_text("mine")
    written(folder, [method])
    assert (folder / "index.html").read_bytes() != first
    assert (folder / "notes.txt").read_text() == "mine"
    assert not (folder / "start_final.png").exists()
    assert not list(folder.glob("capture*"))


def test_no_half_report_is_left(tmp_path, reference, monkeypatch):
    method = method_from_poses("lncc", results(tmp_path, reference, 1.0), reference)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file; a report is a folder"):
        written(tmp_path / "file", [method])
    with pytest.raises(InputError, match="does not exist"):
        written(tmp_path / "nowhere" / "report", [method])

    def full_disk(self, data):
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr("pathlib.Path.write_bytes", full_disk)
    with pytest.raises(OSError, match="No space left"):
        written(tmp_path / "report", [method])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "lncc.csv"]


def test_numbers_agree_with_an_independent_score(shared, monkeypatch, tmp_path):
    tools = shared.parent / "tools"
    if not tools.is_dir():
        pytest.skip(f"no independent score at {tools}")
    monkeypatch.setattr(sys, "path", [str(tools), *sys.path])
    score = pytest.importorskip("score")
    reference = read_sequence(shared / "liver_sweep" / "frames.igs.mha")
    shape = reference.frames.shape[1:]
    rng = np.random.default_rng(0)
    truth = np.tile(reference.world_from_pixel, (2, 1, 1))
    found = np.array(
        [t @ from_motion(m) for t, m in zip(truth, rng.normal(0, [9, 9, 2, 0, 0, 0.1], (28, 6)), strict=True)]
    )
    errors = pose_errors(truth, found, shape)
    expected = np.array([score.errors(a, b, shape) for a, b in zip(truth, found, strict=True)])
    np.testing.assert_allclose(np.stack([errors.euclidean, errors.geodesic], axis=1), expected, rtol=1e-7)


def of_errors(name, clip, before, after, lncc=0.9, accepted=True):
    """A method whose frames were off by ``before`` and ``after`` mm."""
    after = np.asarray(after, float)
    count = len(after)
    errors = PoseErrors(after[:, None] * [1.0, 0.0, 0.0], np.zeros((count, 3)), np.zeros(count))
    lncc, accepted = np.broadcast_to(lncc, count), np.broadcast_to(accepted, count)
    rows = tuple(
        PoseRow(i, i / 10, "ACCEPTED" if accepted[i] else "REJECTED", "", float(lncc[i]), 1.0, 50.0, np.eye(4))
        for i in range(count)
    )
    nothing = (np.empty(0),) * count
    return Method(name, np.full(count, clip), np.arange(count), errors, nothing, np.asarray(before, float), rows)


def test_wilsons_interval():
    for count, total in ((0, 10), (3, 10), (10, 10), (95, 100)):
        expected = binomtest(count, total).proportion_ci(method="wilson")
        share = wilson(count, total)
        assert (share.low, share.high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert str(wilson(3, 10)) == "3/10 (11 to 60 %)"
    assert (wilson(0, 0).low, wilson(0, 0).high, str(wilson(0, 0))) == (0.0, 1.0, "-")


def test_pooled_clips_can_be_told_apart_again():
    parts = [of_errors("a", "one", [5, 6], [1, 2]), of_errors("a", "two", [7, 8, 9], [3, 4, 5], accepted=False)]
    both = pooled(parts)
    assert clip_names([both]) == ["one", "two"]
    np.testing.assert_array_equal(both.errors.euclidean, [1, 2, 3, 4, 5])
    assert both.accepted.tolist() == [True, True, False, False, False]
    for part in parts:
        again = both.of_clip(part.clips[0])
        np.testing.assert_array_equal(again.errors.euclidean, part.errors.euclidean)
        np.testing.assert_array_equal(again.before, part.before)
        assert again.rows == part.rows


def test_each_frame_knows_where_it_started(tmp_path, reference):
    path = results(tmp_path, reference, 1.0, repeats=2)
    transforms = np.tile(reference.world_from_pixel, (2, 1, 1))
    motions = np.zeros((10, 6))
    motions[:, 2] = np.arange(10)
    valid = np.ones(10, bool)
    valid[4] = False
    poses_before = Sequence(np.zeros((10, *SHAPE), np.uint8), moved(transforms, motions), np.arange(10) / 10, valid)
    start = method_from_start("start", poses_before, reference)
    method = method_from_poses("lncc", path, reference).from_start(start)
    np.testing.assert_allclose(method.before, [0, 1, 2, 3, np.nan, 5, 6, 7, 8, 9], atol=1e-9)
    assert np.isnan(method_from_poses("lncc", path, reference).before).all()


def test_capture_range_counts_success_by_start():
    method = of_errors("a", "", [0, 3.9, 4, 5, 11, 11, 11, np.nan], [0.5, 3, 1, 12, 1, 1, 30, 0])
    edges = bin_edges([method])
    assert edges.tolist() == [0, 4, 8, 12]
    assert [share[:2] for share in successes(method, edges, 2.0)] == [(1, 2), (1, 2), (2, 3)]
    assert [share[:2] for share in successes(method, edges, 10.0)] == [(2, 2), (1, 2), (2, 3)]
    table = capture_table([method])
    assert table.columns == ("method", "success", "0-4 mm", "4-8 mm", "8-12 mm")
    assert table.rows[0][:3] == ("a", "<2 mm", "1/2 (9 to 91 %)")


def test_accepted_and_rejected_against_right_and_wrong():
    method = of_errors("a", "", [9] * 6, [1, 1, 3, 7, 7, 7], accepted=[True, False, True, True, False, False])
    row = confidence_table([method]).rows[0]
    assert row[:7] == ("a", "1", "1", "1", "1", "0", "2")
    assert row[7].startswith("1/2 (")
    assert row[8].startswith("1/3 (")


def test_risk_grows_with_coverage_when_the_score_knows():
    knows = of_errors("a", "", [9] * 4, [1, 1, 7, 7], lncc=[0.9, 0.8, 0.3, 0.2])
    coverage, risk = risk_coverage(knows)
    np.testing.assert_allclose(coverage, [0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(risk, [0, 0, 1 / 3, 1 / 2])
    backwards = of_errors("a", "", [9] * 4, [7, 7, 1, 1], lncc=[0.9, 0.8, 0.3, np.nan])
    np.testing.assert_allclose(risk_coverage(backwards)[1], [1, 1, 2 / 3, 1 / 2])
    blind = of_errors("a", "", [9] * 4, [7, 1, 1, 7], lncc=0.5)
    np.testing.assert_allclose(risk_coverage(blind)[1], [0.5] * 4)


def test_several_clips_have_a_figure_of_their_own(tmp_path):
    methods = tuple(
        pooled([of_errors(name, "one", [5, 6], [1, 2]), of_errors(name, "two", [7, 8], [3, 9])]) for name in "ab"
    )
    tables = write_report(tmp_path / "r", [Condition("x1", methods), Condition("x2", methods)], [], "a machine")
    assert [table.title for table in tables] == ["Table 1: registration error (x1)", "Table 1: registration error (x2)"]
    names = {path.name for path in (tmp_path / "r").iterdir()}
    assert {"cdf_clips_x1.png", "cdf_clips_x2.png", "table1_x2.md", "capture.csv"} <= names
    assert "a machine" in (tmp_path / "r" / "runtime_x1.md").read_text()
    assert "a,<10 mm,-,6/6 (" in (tmp_path / "r" / "capture.csv").read_text()  # all scales, all clips
    write_report(tmp_path / "r", [Condition("", methods)], [])
    assert not list((tmp_path / "r").glob("*_x?.*"))
