"""Whatever is in a file: a value or one line of InputError, and nothing else. benchmarks/fuzz.py goes on for longer."""

from tempfile import TemporaryDirectory

import pytest

pytest.importorskip("hypothesis")

from pathlib import Path

from fuzzing import READERS, contents, outcome
from hypothesis import HealthCheck, given, settings

EXAMPLES = 20


@pytest.mark.parametrize("name", READERS)
def test_whatever_a_file_holds_there_is_a_value_or_one_line(tmp_path, name):
    reader = READERS[name]
    seeds = reader.seeds(tmp_path)
    for seed in seeds:
        assert outcome(reader, seed, seed.read_bytes(), tmp_path / "whole") == ""

    @settings(
        max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(contents(seeds))
    def check(found):
        with TemporaryDirectory(dir=tmp_path) as folder:
            line = outcome(reader, *found, Path(folder))
        assert "\n" not in line

    check()
