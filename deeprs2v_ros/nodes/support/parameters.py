"""Parameters that are declared with a description, and refused in one clear line."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import inspect
import itertools
import textwrap
from array import array
from collections.abc import Sequence
from typing import Any, TypeVar

import yaml
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from deeprs2v_ros.errors import InputError

Settings = TypeVar("Settings")

LONGEST_OFFSET = 5.0
"""Seconds: half of what a TF buffer holds."""
NUMBERS = Parameter.Type.DOUBLE_ARRAY
"""Given as a default: a list of doubles that may be left out."""


def declare(node: Node, name: str, default: Any, description: str, *, read_only: bool = True) -> Any:
    """Declare a parameter and return its value; that of an optional one that is left out is None.

    Raises InputError naming the parameter when the value given has another type than ``default``.
    """
    descriptor = ParameterDescriptor(description=description, read_only=read_only)
    try:
        return node.declare_parameter(name, default, descriptor).value
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        raise InputError(f"parameter {name}: {error} (a double has a decimal point)") from error


def declare_path(node: Node, name: str, description: str, *, read_only: bool = True) -> str:
    """Declare the path of something to read. Raises InputError if it is left out or empty."""
    path = declare(node, name, "", description, read_only=read_only)
    if not path:
        raise InputError(f"parameter {name}: is empty")
    return path


def declare_choice(node: Node, name: str, choices: Sequence[str], description: str) -> str:
    """Declare a parameter that names one of ``choices``, the first by default. Raises InputError for any other."""
    value = declare(node, name, choices[0], f"{description}: {', '.join(choices)}")
    if value not in choices:
        raise InputError(f"parameter {name}: is {value!r}, not one of {', '.join(choices)}")
    return value


def declare_numbers(node: Node, name: str, default: Any, count: int, description: str, **options: bool) -> Any:
    """Declare a list of ``count`` doubles; with the default NUMBERS, None if it is left out or empty.

    Raises InputError for another length.
    """
    value = declare(node, name, default, description, **options)
    if default is NUMBERS and not value:
        return None
    if len(value) != count:
        raise InputError(f"parameter {name}: has {len(value)} numbers, not {count}")
    return tuple(value)


def declare_positive(node: Node, name: str, default: float, description: str) -> float:
    """Declare a number that must be above zero. Raises InputError if it is not."""
    value = declare(node, name, default, description)
    if not value > 0:
        raise InputError(f"parameter {name}: is {value}, not a positive number")
    return value


def declare_image_time_offset(node: Node) -> int:
    """Declare ``image_time_offset`` and return it in ns: what an image stamped t shows was there at t less this.

    Raises InputError for one that the `LONGEST_OFFSET` seconds that TF remembers cannot bridge.
    """
    offset = declare(node, "image_time_offset", 0.0, "Seconds by which images are stamped late; negative: early")
    if not abs(offset) <= LONGEST_OFFSET:
        raise InputError(f"parameter image_time_offset: is {offset}, not within {LONGEST_OFFSET:g} seconds of zero")
    return round(offset * 1e9)


def declare_settings(node: Node, prefix: str, settings: Settings) -> Settings:
    """One parameter ``prefix.field`` for every field of a dataclass instance, which holds the defaults.

    The description of a parameter is the string below the field in the source.
    """
    described = _field_docstrings(type(settings))
    values = {
        field.name: declare(node, f"{prefix}.{field.name}", getattr(settings, field.name), described[field.name])
        for field in dataclasses.fields(settings)  # type: ignore[arg-type]
    }
    return dataclasses.replace(settings, **values)  # type: ignore[type-var]


def digest(node: Node) -> str:
    """SHA-256 of all parameters of a node, their names and values as sorted YAML."""
    values = {name: parameter.value for name, parameter in node.get_parameters_by_prefix("").items()}
    text = yaml.safe_dump({name: list(v) if isinstance(v, array) else v for name, v in values.items()})
    return hashlib.sha256(text.encode()).hexdigest()


def _field_docstrings(dataclass: type) -> dict[str, str]:
    body = ast.parse(textwrap.dedent(inspect.getsource(dataclass))).body[0].body  # type: ignore[attr-defined]
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }
