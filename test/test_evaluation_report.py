"""The report: one page that needs nothing else, whole or not there."""

import csv
import re

import numpy as np
import pytest
from evaluations import make_reference, of_errors, results

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.evaluation.method import method_from_poses, method_from_start, pooled
from deeprs2v_ros.evaluation.report import Condition, write_report


@pytest.fixture
def reference():
    return make_reference()


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
