"""Results replace earlier ones whole, or not at all."""

import pytest

from deeprs2v_ros.demo.folder import replaced_whole
from deeprs2v_ros.errors import InputError

NAMES = ("result", "more")


def test_a_new_folder_with_its_parents(tmp_path):
    folder = tmp_path / "out" / "demo"
    with replaced_whole(folder, NAMES) as new:
        (new / "result").write_text("1")
        assert not folder.exists()
    assert (folder / "result").read_text() == "1"
    assert [path.name for path in folder.parent.iterdir()] == ["demo"]


def test_an_earlier_result_is_replaced(tmp_path):
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "result").write_text("1")
    (folder / "more").write_text("1")
    with replaced_whole(folder, NAMES) as new:
        (new / "result").write_text("2")
        assert (folder / "result").read_text() == "1"
    assert [path.name for path in folder.iterdir()] == ["result"]
    assert (folder / "result").read_text() == "2"
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_an_earlier_result_stays_when_the_new_one_fails(tmp_path):
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "result").write_text("1")
    with pytest.raises(KeyError), replaced_whole(folder, NAMES) as new:
        (new / "result").write_text("2")
        raise KeyError
    assert (folder / "result").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_a_folder_with_anything_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match=r"holds something else \(thesis.tex\)"), replaced_whole(tmp_path, NAMES):
        raise AssertionError
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_a_file(tmp_path):
    (tmp_path / "demo").write_text("")
    with pytest.raises(InputError, match="is a file"), replaced_whole(tmp_path / "demo", NAMES):
        raise AssertionError


def test_a_folder_below_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"), replaced_whole(tmp_path / "file" / "demo", NAMES):
        raise AssertionError
