"""What processes use, as Linux tells it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Usage:
    """Of one process: CPU time (s) since it began, resident memory (MB), threads and open files."""

    cpu: float
    memory: float
    threads: int
    files: int


def usage(pid: int) -> Usage:
    """What a process uses. Raises OSError when it has ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Usage(
        (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
        pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        int(fields[17]),
        len(list(Path(f"/proc/{pid}/fd").iterdir())),
    )
