"""Parameters: declared with a description, refused by name."""

from dataclasses import dataclass

import pytest
import rclpy
from bench import overrides

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.nodes.running import parameters as p


@dataclass(frozen=True)
class Settings:
    """What they are for."""

    limit: float = 0.5
    """mm: how far,
    over two lines."""
    count: int = 3
    """How many."""


@pytest.fixture
def make(ros, keep):
    return lambda **values: keep(rclpy.create_node("any", context=ros, parameter_overrides=overrides(values)))


def test_fields_of_a_dataclass_become_parameters_with_their_docstrings(make):
    node = make(**{"gate.limit": 0.75})
    assert p.declare_settings(node, "gate", Settings()) == Settings(0.75, 3)
    descriptor = node.describe_parameter("gate.limit")
    assert descriptor.description == "mm: how far, over two lines."
    assert descriptor.read_only


def test_another_type_is_refused_by_name(make):
    with pytest.raises(InputError, match=r"gate\.limit.*decimal point"):
        p.declare_settings(make(**{"gate.limit": 1}), "gate", Settings())


def test_numbers_may_be_left_out_or_empty(make):
    assert p.declare_numbers(make(), "face", p.NUMBERS, 2, "a pixel") is None
    assert p.declare_numbers(make(face=[1.0, 2.0]), "face", p.NUMBERS, 2, "a pixel") == (1.0, 2.0)
    with pytest.raises(InputError, match="face: has 1 numbers, not 2"):
        p.declare_numbers(make(face=[1.0]), "face", p.NUMBERS, 2, "a pixel")


def test_empty_list_in_a_parameter_file(ros, keep, tmp_path):
    path = tmp_path / "parameters.yaml"
    path.write_text("/**:\n  ros__parameters:\n    face: []\n")
    node = keep(rclpy.create_node("any", context=ros, cli_args=["--ros-args", "--params-file", str(path)]))
    assert p.declare_numbers(node, "face", p.NUMBERS, 2, "a pixel") is None


def test_choices_and_positive_numbers(make):
    assert p.declare_choice(make(), "source", ("file", "scene"), "where from") == "file"
    with pytest.raises(InputError, match="source: is 'sea', not one of file, scene"):
        p.declare_choice(make(source="sea"), "source", ("file", "scene"), "where from")
    for value in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="rate"):
            p.declare_positive(make(rate=value), "rate", 1.0, "per second")


def test_digest_is_that_of_the_values(make):
    digests = []
    for value in (0.5, 0.5, 0.6):
        node = make(**{"gate.limit": value})
        p.declare_settings(node, "gate", Settings())
        digests.append(p.digest(node))
    assert digests[0] == digests[1] != digests[2]
