"""Libraries that not every machine needs: they come with an extra of this package."""

from __future__ import annotations

from importlib.util import find_spec

from deeprs2v_ros.errors import InputError


def need(extra: str, *modules: str) -> None:
    """Raise InputError, naming the first of the ``modules`` that is not installed and the ``extra`` to install."""
    for module in modules:
        if not _installed(module):
            raise InputError(f"needs {module}: pip install 'deeprs2v_ros[{extra}]'")


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:
        return False
