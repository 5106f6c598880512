"""A ROS parameter file, read without ROS, and what it gives to a node."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.parameters.declaring import NUMBERS
from deeprs2v_ros.reading import read_yaml

EVERY = ("*", "**")
"""In place of a node's name: any."""


class GivenParameters:
    """What one node is ``given``, by name: a `Declare`. ``source`` is named where something is wrong with it."""

    def __init__(self, given: Mapping[str, Any], source: str) -> None:
        self._given, self.source = given, source
        self._values: dict[str, Any] = {}

    def __call__(self, name: str, default: Any, description: str, *, read_only: bool = True, allowed: str = "") -> Any:
        """The value given, or ``default``. Raises InputError for a value of another type, as a node does."""
        optional = default is NUMBERS
        value = self._given.get(name, None if optional else default)
        if value is not None or not optional:
            value = self._checked(name, value, [] if optional else default)
        self._values[name] = value
        return value

    def __contains__(self, name: str) -> bool:
        """Whether there is more than a default."""
        return name in self._given

    def digest(self) -> str:
        """SHA-256 of all declared parameters, their names and values as sorted YAML."""
        return hashlib.sha256(yaml.safe_dump(self._values).encode()).hexdigest()

    def _checked(self, name: str, value: Any, default: Any) -> Any:
        if isinstance(default, (list, tuple)):
            # Whole numbers in a list of doubles are refused by ROS, and so they are here.
            right = isinstance(value, (list, tuple)) and all(type(each) is float for each in value)
            wanted = "a list of doubles"
            value = list(value) if right else value
        else:
            right, wanted = type(value) is type(default), type(default).__name__
            if right and type(value) is int and not -(2**63) <= value < 2**63:
                right, wanted = False, "of 64 bits"
        if not right:
            raise InputError(
                f"{self.source}: parameter {name}: is {value!r}, not {wanted} (a double has a decimal point)"
            )
        return value


class ParameterFile:
    """A parameter file: what it gives to nodes, by the patterns of names that head its ``sections``."""

    def __init__(self, sections: Mapping[str, Mapping[str, Any]], source: str) -> None:
        self.sections, self.source = sections, source

    def of(self, node: str, extra: Mapping[str, Any] | None = None) -> GivenParameters:
        """What the ``node`` is given, whatever its namespace, and what is ``extra`` to that and takes its place.

        As in ROS, a later section takes the place of an earlier one, however general it is.
        """
        given: dict[str, Any] = {}
        for pattern, values in self.sections.items():
            if pattern.rpartition("/")[2] in (node, *EVERY):
                given.update(values)
        return GivenParameters({**given, **(extra or {})}, self.source)


def read_parameters(path: str | Path | None) -> ParameterFile:
    """Read a parameter file; without one, nothing is given.

    Raises InputError naming the file, and the section, for what is no parameter file.
    """
    if path is None:
        return ParameterFile({}, "parameters")
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: is no parameter file (node, ros__parameters, names)")
    return ParameterFile(dict(_sections(content, str(path))), str(path))


def _sections(content: Mapping[str, Any], path: str, namespace: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Nodes, by namespaces however deep, with their parameters."""
    found = []
    for name, entry in content.items():
        node = f"{namespace}/{name}" if namespace else str(name)
        if not isinstance(entry, dict):
            raise InputError(f"{path}: {node}: is no node with ros__parameters")
        if "ros__parameters" in entry:
            values = entry["ros__parameters"]
            if not isinstance(values, dict):
                raise InputError(f"{path}: {node}: its ros__parameters are no names and values")
            found.append((node, _flat(values)))
        else:
            found += _sections(entry, path, node)
    return found


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Names with dots for names within names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat
