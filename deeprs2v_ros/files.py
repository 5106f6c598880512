"""Files and folders that are written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from deeprs2v_ros.errors import InputError


def is_file(path: Path) -> bool:
    """Whether there is an ordinary file. What cannot even be looked up, as a name that is too long, is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """The same of a folder."""
    try:
        return path.is_dir()
    except OSError:
        return False


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` (same suffixes); rename it to ``path`` only if the block succeeds.

    Raises InputError when the folder of ``path`` does not exist or cannot be written.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist")
    try:
        handle, name = tempfile.mkstemp(prefix=".", suffix=path.name, dir=path.parent)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_folder(folder: str | Path, contents: Mapping[str, bytes]) -> None:
    """Write files by name into ``folder``, a new one as a whole; in an old one, files of other names are left alone.

    Raises InputError when ``folder`` is a file, or the folder that is to hold it does not exist or cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; a report is a folder")
    if not folder.parent.is_dir():
        raise InputError(f"{folder}: the folder {folder.parent} does not exist")
    try:
        temporary = Path(tempfile.mkdtemp(prefix=".report", dir=folder.parent))
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})") from error
    try:
        for name, content in contents.items():
            (temporary / name).write_bytes(content)
        if folder.is_dir():
            for name in contents:
                (temporary / name).replace(folder / name)
        else:
            temporary.chmod(0o755)
            temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
