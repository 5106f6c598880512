"""Tables, capture range and confidence say what the errors say."""

import numpy as np
import pytest
from evaluations import make_reference, moved, of_errors, results, rows_of
from scipy.stats import binomtest, ttest_ind

from deeprs2v_ros.evaluation.capture import bin_edges, capture_table, successes
from deeprs2v_ros.evaluation.confidence import confidence_table, risk_coverage
from deeprs2v_ros.evaluation.method import method_from_poses
from deeprs2v_ros.evaluation.poses import PoseRow, write_poses
from deeprs2v_ros.evaluation.shares import wilson
from deeprs2v_ros.evaluation.tables import accuracy_table, reliability_table, runtime_table


@pytest.fixture
def reference():
    return make_reference()


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


def test_wilsons_interval():
    for count, total in ((0, 10), (3, 10), (10, 10), (95, 100)):
        expected = binomtest(count, total).proportion_ci(method="wilson")
        share = wilson(count, total)
        assert (share.low, share.high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert str(wilson(3, 10)) == "3/10 (11 to 60 %)"
    assert (wilson(0, 0).low, wilson(0, 0).high, str(wilson(0, 0))) == (0.0, 1.0, "-")


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
