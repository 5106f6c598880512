"""docs/parameters.md is what the nodes declare."""

import importlib.util
import sys
from difflib import unified_diff
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/parameters_page.py"


@pytest.fixture(scope="module")
def script():
    specification = importlib.util.spec_from_file_location("parameters_page", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


def test_the_page_is_what_the_nodes_declare(script, ros):
    written, made = script.PAGE.read_text(encoding="utf-8").splitlines(), script.page(ros).splitlines()
    difference = "\n".join(unified_diff(written, made, "docs/parameters.md", "the nodes", lineterm="", n=0))
    assert not difference, f"run python scripts/parameters_page.py, which would change this:\n{difference}"
