"""Text files of others: what they hold comes back, and what would cost more than a file may is refused by name."""

import numpy as np
import pytest

from deeprs2v_ros.arm.urdf import read_joints
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.reading import DEEPEST, MOST_YAML, finite, read_columns, read_table, read_yaml


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "file.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def laughs(levels):
    """Each list holds the one before it ten times."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


MERGED = "\n".join(["a0: &a0 {x: 1}"] + [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 9)])


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (laughs(9), "its aliases make it grow beyond"),
        (MERGED, "its aliases make it grow beyond"),
        ("a: &a [1, *a]", "holds an alias of what it is part of"),
        ("[" * 100_000, "is nested deeper than"),
        ("[" * (DEEPEST + 2) + "]" * (DEEPEST + 2), "is nested deeper than"),
        ("a: " + "9" * 5000, "not a YAML file"),
        ("a: 2001-99-99", "not a YAML file"),
        ("a: !!timestamp x", "not a YAML file"),
        ("a: !!bool maybe", "not a YAML file"),
        ("!!python/object/apply:os.system [true]", "not a YAML file"),
        (b"a: \xff", "not a YAML file"),
        ("# " + "x" * MOST_YAML, "is longer than"),
    ],
)
def test_yaml_that_is_none_or_grows_without_bounds_is_refused(file, content, fault):
    with pytest.raises(InputError, match=rf"file\.txt: {fault}") as caught:
        read_yaml(file(content))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_an_alias_that_stays_small_is_taken(file):
    assert read_yaml(file("a: &a [1, 2]\nb: *a\nc: {<<: {d: 1}}")) == {"a": [1, 2], "b": [1, 2], "c": {"d": 1}}
    assert read_yaml(file("")) is None


@pytest.mark.parametrize("name", ["none.txt", ".", "/dev/zero", "a\0b"])
def test_what_is_no_ordinary_file_is_never_waited_for(tmp_path, name):
    with pytest.raises(InputError, match="cannot be read"):
        read_yaml(tmp_path / name)


def test_headings_are_found_with_a_byte_order_mark_and_blanks(file):
    ((where, row),) = read_table(file("\ufeffa, b ,c\n\n1 , 2\n"), ["a", "b"])
    assert where.endswith("file.txt: line 3")
    assert row == {"a": "1", "b": "2", "c": ""}


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("a,c\n1,2", "has no column b"),
        ("a,b,a\n1,2,3", "has the column a twice"),
        (b"a,b\n\xff,1", "is not a CSV file"),
        ('a,b\n"' + "x" * 200_000 + '",1', "is not a CSV file"),
    ],
)
def test_tables_that_are_none_are_refused(file, content, fault):
    with pytest.raises(InputError, match=rf"file\.txt: {fault}"):
        list(read_table(file(content), ["a", "b"]))


def test_columns_of_numbers(file):
    np.testing.assert_array_equal(read_columns(file("a,b\n1,2\n\n3,4\n")), [[1, 2], [3, 4]])
    for content in ("a\nx", "a,b\n1,2\n3"):
        with pytest.raises(InputError, match=r"file\.txt: is no table of numbers"):
            read_columns(file(content))


@pytest.mark.parametrize("value", ["nan", "inf", None, True, "", 10**400, [1.0], float("nan"), 1e7])
def test_what_is_no_finite_number_is_refused(value):
    with pytest.raises(InputError, match=r"^it is .*(not a number|beyond 1e\+06)"):
        finite(value, "it", 1e6)


@pytest.mark.parametrize(
    "entities",
    ['<!ENTITY a "x">', "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(12)), '<!ENTITY a SYSTEM "f">'],
)
def test_a_urdf_with_entities_is_refused(file, entities):
    path = file(f"<!DOCTYPE robot [{entities}]><robot>&a;</robot>")
    with pytest.raises(InputError, match=r"file\.txt: has a document type"):
        read_joints(path)


@pytest.mark.parametrize("content", ["<robot>" * 100_000, '<?xml version="1.0" encoding="utf-7"?><robot/>', ""])
def test_odd_xml_is_refused(file, content):
    with pytest.raises(InputError, match=r"file\.txt: "):
        read_joints(file(content))
