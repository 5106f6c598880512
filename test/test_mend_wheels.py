"""The CMake files of ROS wheels, made to fit this machine."""

import runpy
import sysconfig
from pathlib import Path

import numpy as np
import pytest

BUILT_ELSEWHERE = """
set_target_properties(messages PROPERTIES
  INTERFACE_INCLUDE_DIRECTORIES "/opt/python/cp312-cp312/include/python3.12;\
/opt/python/cp312-cp312/lib/python3.12/site-packages/numpy/_core/include;/usr/include"
"""


@pytest.fixture
def mend():
    return runpy.run_path(str(Path(__file__).resolve().parents[1] / "scripts/mend_wheels.py"))["mend"]


def test_folders_of_the_build_machine_become_those_of_this_one(mend, tmp_path):
    file = tmp_path / "share/messages/cmake/export.cmake"
    file.parent.mkdir(parents=True)
    file.write_text(BUILT_ELSEWHERE)
    assert mend(tmp_path) == 1
    assert f'"{sysconfig.get_path("include")};{np.get_include()};/usr/include"' in file.read_text()
    assert "/opt/python" not in file.read_text()
    assert mend(tmp_path) == 0
