"""Where the package's own files are: parameters, the arm's URDF, RViz layouts; and where it keeps what it makes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from deeprs2v_ros.errors import InputError


def resource(relative: str) -> Path:
    """Path of a file that comes with the package, such as ``config/registration.yaml`` or ``urdf/arm.urdf``.

    Looks beside the source, then in every ROS prefix (``AMENT_PREFIX_PATH``, the nearest overlay first), then where pip
    puts it. Raises InputError, naming the file, if it is in none of them.
    """
    for folder in _folders():
        if (folder / relative).is_file():
            return folder / relative
    raise InputError(f"{relative}: not among the files of this package, looked in {', '.join(map(str, _folders()))}")


def home() -> Path:
    """The folder for what the nodes make and nobody told them where to put: volumes, recordings."""
    return Path(os.environ.get("ROS_HOME") or Path.home() / ".ros") / "deeprs2v_ros"


def _folders() -> Iterator[Path]:
    source = Path(__file__).resolve().parents[1]
    if (source / "package.xml").is_file():
        yield source
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        if prefix:
            yield Path(prefix) / "share" / "deeprs2v_ros"
    yield Path(sys.prefix) / "share" / "deeprs2v_ros"
