"""Reading files by libraries that crash on damaged ones, or take all memory: in a process of its own, within bounds.

VTK's readers of .vtk, .vtp and .ply and ITK's of transforms do. Found by changing a few bytes of valid files.
"""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.files import is_file

MEMORY = 4 << 30
"""Bytes of address space that a reader gets, its libraries included."""
MOST_FILE = 2 * 10**9
"""Bytes of a file."""
PATIENCE = 120.0
"""Seconds that a file may take."""
_REFUSED = 3


def read_apart(module: str, path: Path) -> list[NDArray]:
    """The arrays that ``read(path)`` of a ``module`` of this package returns, called in another process.

    Raises InputError naming the file if it is missing or longer than `MOST_FILE`, for what ``read`` refuses by an
    InputError, and if the process crashes, needs more than `MEMORY` or takes longer than `PATIENCE`.
    """
    if not is_file(path):  # a device or a pipe may never end
        raise InputError(f"{path!s:.200}: no such file".replace("\0", "?"))
    if path.stat().st_size > MOST_FILE:
        raise InputError(f"{path}: is longer than {MOST_FILE} bytes")
    root = Path(__file__).resolve().parents[2]  # where that process finds this package
    code = f"from {__name__} import serve; serve()"
    command = [sys.executable, "-c", code, module, str(path.absolute())]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{path}: cannot be read within {PATIENCE:g} s; it is damaged or too large") from error
    if done.returncode == _REFUSED:
        raise InputError(f"{path}: {done.stdout.decode(errors='replace')}")
    if done.returncode == 1:  # an exception of Python's
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise InputError(f"{path}: cannot be read ({' '.join(last)[:200]})")
    if done.returncode:
        raise InputError(f"{path}: is damaged: reading it crashes or needs more memory than {MEMORY >> 30} GB")
    stream, arrays = io.BytesIO(done.stdout), []
    while stream.tell() < len(done.stdout):
        arrays.append(np.load(stream, allow_pickle=False))
    return arrays


def serve() -> None:
    """What the other process does: read, and write the arrays or the line of an InputError to its output."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    module, path = sys.argv[1:]
    read = import_module(module).read
    with os.fdopen(os.dup(1), "wb") as output:
        os.dup2(2, 1)  # what libraries print is not an answer
        status, answer = 0, io.BytesIO()
        try:
            for array in read(path):
                np.save(answer, array, allow_pickle=False)
        except InputError as error:
            status, answer = _REFUSED, io.BytesIO(" ".join(str(error).split())[:500].encode(errors="replace"))
        output.write(answer.getbuffer())
    os._exit(status)  # libraries that were given damaged files may crash while they tidy up
