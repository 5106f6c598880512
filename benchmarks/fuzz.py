"""Fuzz the readers of files, each for some minutes in a process of its own.

    python benchmarks/fuzz.py [READER ...] --minutes 10

A crash, a hang or an allocation beyond the bounds ends that process, and so its reader fails; so does any exception but
InputError. What was being read is left in a file that the last line names. Status 1 if any reader failed.
"""

from __future__ import annotations

import argparse
import faulthandler
import multiprocessing
import os
import resource
import sys
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from time import monotonic

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test"))

from fuzzing import READERS, contents, outcome

MEMORY = 2 << 30
"""Bytes beyond those of a process that has read every valid file."""
PATIENCE = 30
"""Seconds that one file may take."""
ROUND = 200
"""Files before the time is looked at, and the next seed begins."""


def fuzz(name: str, minutes: float, last: Path, counts: multiprocessing.Array) -> None:
    """Read damaged files for some ``minutes``.

    ``last`` is where the one that is being read is kept; ``counts`` are of those read and those refused.
    """
    faulthandler.enable()
    reader = READERS[name]
    with TemporaryDirectory() as folder:
        valid = Path(folder, "valid")
        valid.mkdir()
        seeds = reader.seeds(valid)
        for each in seeds:
            line = outcome(reader, each, each.read_bytes(), Path(folder, "whole"))
            assert not line, line
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY,) * 2)
        end, number = monotonic() + 60.0 * minutes, 0
        while monotonic() < end:
            number += 1
            _round(name, seeds, number, last, counts)


def _round(name: str, seeds: list[Path], number: int, last: Path, counts: multiprocessing.Array) -> None:
    @seed(number)
    @settings(
        max_examples=ROUND,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(contents(seeds), st.data())
    def check(found: tuple[Path, bytes], _: st.DataObject) -> None:
        origin, content = found
        last.write_bytes(content)
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        with TemporaryDirectory() as folder:
            line = outcome(READERS[name], origin, content, Path(folder))
        faulthandler.cancel_dump_traceback_later()
        assert "\n" not in line
        counts[0] += 1
        counts[1] += bool(line)

    check()


def _run(name: str, minutes: float, last: Path, counts: multiprocessing.Array) -> None:
    try:
        fuzz(name, minutes, last, counts)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def main() -> int:
    """Fuzz, and say how many files were read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("readers", nargs="*", choices=[*READERS, []], help="by default all")
    parser.add_argument("--minutes", type=float, default=10.0, help="for each reader (default 10)")
    arguments = parser.parse_args()
    failed = 0
    kept = Path(mkdtemp(prefix="fuzz-"))
    for name in arguments.readers or READERS:
        context = multiprocessing.get_context("spawn")
        counts, last = context.Array("q", 2), kept / name
        process = context.Process(target=_run, args=(name, arguments.minutes, last, counts))
        process.start()
        process.join()
        failed += process.exitcode != 0
        verdict = "no fault" if process.exitcode == 0 else f"FAILED (status {process.exitcode}): {last}"
        print(f"{name}: {counts[0]} files read, {counts[1]} refused: {verdict}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
