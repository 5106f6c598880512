"""A folder of results that is replaced as a whole, or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from deeprs2v_ros.errors import InputError


@contextmanager
def replaced_whole(folder: Path, names: Collection[str]) -> Iterator[Path]:
    """Yield a new folder beside ``folder``, which takes its place if the block succeeds and is removed if it does not.

    ``names`` are what such a folder may hold. Raises InputError for a ``folder`` that holds anything else, so that
    nothing of the user's is ever replaced, and for one that cannot be made.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; the results go into a folder")
    foreign = sorted({path.name for path in folder.iterdir()} - set(names)) if folder.is_dir() else []
    if foreign:
        raise InputError(f"{folder}: holds something else ({foreign[0]}); choose a new folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror})") from error
    try:
        new, old = temporary / "new", temporary / "old"
        new.mkdir()
        yield new
        if folder.is_dir():
            folder.replace(old)
        new.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
