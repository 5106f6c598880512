"""Parameters of one kind or another, declared with a description and refused in one clear line.

Every function takes a `Declare`, that of a node or of a parameter file. So a parameter's name, default and check are
written once, for both.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.registration.settings import Range

Settings = TypeVar("Settings")

NUMBERS = list[float]
"""Given as a default: a list of doubles that may be left out."""

MOST = 1e6
"""No number of a cart is larger, unless its own limit says so."""
FARTHEST = 1e4
"""No coordinate is larger, in pixels, mm or m."""


class Declare(Protocol):
    """Declares a parameter and returns its value; that of an optional one that is left out is None.

    ``allowed`` says in words which values are allowed; whoever declares the parameter checks that. Raises InputError
    naming the parameter when the value given has another type than ``default``.
    """

    def __call__(self, name: str, default: Any, description: str, *, read_only: bool = True, allowed: str = "") -> Any:
        """See the class."""


def declare_choice(declare: Declare, name: str, choices: Sequence[str], description: str) -> str:
    """Declare a parameter that names one of ``choices``, the first by default. Raises InputError for any other."""
    value = declare(name, choices[0], description, allowed=", ".join(choices))
    if value not in choices:
        raise InputError(f"parameter {name}: is {value!r}, not one of {', '.join(choices)}")
    return value


def declare_numbers(
    declare: Declare, name: str, default: Any, count: int, description: str, **options: bool
) -> tuple[float, ...] | None:
    """Declare a list of ``count`` doubles; with the default NUMBERS, None if it is left out or empty.

    Raises InputError as `check_numbers`.
    """
    value = declare(name, default, description, allowed=f"{count} numbers", **options)
    if default is NUMBERS and not value:
        return None
    check_numbers(name, value, count)
    return tuple(value)


def check_numbers(name: str, numbers: Sequence[float], count: int) -> None:
    """Raise InputError, naming the parameter, for another ``count``, and for a number that no coordinate can be."""
    if len(numbers) != count:
        raise InputError(f"parameter {name}: has {len(numbers)} numbers, not {count}")
    if not all(abs(number) <= FARTHEST for number in numbers):
        raise InputError(f"parameter {name}: is {list(numbers)}, not numbers between -{FARTHEST:g} and {FARTHEST:g}")


def declare_positive(declare: Declare, name: str, default: float, description: str, most: float = MOST) -> float:
    """Declare a number that must be above zero and at most ``most``. Raises InputError if it is not."""
    value = declare(name, default, description, allowed=str(Range(0.0, most, above=True)))
    if not 0 < value <= most:
        raise InputError(f"parameter {name}: is {value}, not a positive number up to {most:g}")
    return value


def declare_between(declare: Declare, name: str, default: float, description: str, least: float, most: float) -> float:
    """Declare a number from ``least`` to ``most``. Raises InputError for another one."""
    value = declare(name, default, description, allowed=str(Range(least, most)))
    if not least <= value <= most:
        raise InputError(f"parameter {name}: is {value}, not between {least:g} and {most:g}")
    return value


def declare_settings(declare: Declare, prefix: str, settings: Settings) -> Settings:
    """One parameter ``prefix.field`` for every field of a dataclass instance, which holds the defaults.

    The description of a parameter is the string below the field in the source. Raises InputError for what is
    not finite, or beyond `MOST`, and as the dataclass does.
    """
    described, limits = _field_docstrings(type(settings)), getattr(settings, "LIMITS", {})
    values = {
        field.name: declare(
            f"{prefix}.{field.name}",
            getattr(settings, field.name),
            described[field.name],
            allowed=str(limits.get(field.name, "")),
        )
        for field in dataclasses.fields(settings)  # type: ignore[arg-type]
    }
    for name, value in values.items():
        if not abs(value) <= MOST:
            raise InputError(f"parameter {prefix}.{name}: is {value}, not a number between -{MOST:g} and {MOST:g}")
    return dataclasses.replace(settings, **values)  # type: ignore[type-var]


def _field_docstrings(dataclass: type) -> dict[str, str]:
    body = ast.parse(textwrap.dedent(inspect.getsource(dataclass))).body[0].body  # type: ignore[attr-defined]
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }
