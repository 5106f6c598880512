"""Parameters that are declared with a description, and refused in one clear line."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import yaml
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.parameters import declaring
from deeprs2v_ros.parameters.declaring import NUMBERS, Declare

Given = ParamSpec("Given")
Value = TypeVar("Value")


def declare(node: Node, name: str, default: Any, description: str, *, read_only: bool = True, allowed: str = "") -> Any:
    """Declare a parameter and return its value, or None for an optional one that is left out: a `Declare`.

    Raises InputError naming the parameter when the value given has another type than ``default``.
    """
    descriptor = ParameterDescriptor(description=description, read_only=read_only, additional_constraints=allowed)
    if default is NUMBERS:
        default = Parameter.Type.DOUBLE_ARRAY
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


def of_node(function: Callable[Concatenate[Declare, Given], Value]) -> Callable[Concatenate[Node, Given], Value]:
    """The same ``function``, which declares parameters, for those of a node."""

    @wraps(function)
    def declared(node: Node, *given: Given.args, **named: Given.kwargs) -> Value:
        return function(partial(declare, node), *given, **named)

    return declared


declare_between = of_node(declaring.declare_between)
declare_choice = of_node(declaring.declare_choice)
declare_numbers = of_node(declaring.declare_numbers)
declare_positive = of_node(declaring.declare_positive)
declare_settings = of_node(declaring.declare_settings)


def digest(node: Node) -> str:
    """SHA-256 of all parameters of a node, their names and values as sorted YAML."""
    values = {name: parameter.value for name, parameter in node.get_parameters_by_prefix("").items()}
    text = yaml.safe_dump({name: list(v) if isinstance(v, array) else v for name, v in values.items()})
    return hashlib.sha256(text.encode()).hexdigest()
