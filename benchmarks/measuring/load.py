"""Other work on the machine: processes that are never idle."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

BUSY = """
import numpy as np
a = np.random.default_rng(0).random((600, 600))
while True:
    a = a @ a
    a /= abs(a).max()
"""


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that multiply matrices all the time, each on one core."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [sys.executable, "-c", BUSY]
    started = [subprocess.Popen(command, env=os.environ | one) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()
