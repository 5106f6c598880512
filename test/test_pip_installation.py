"""What `pip install .` installs on a machine without ROS."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1]
SHARED = ("config", "rviz", "urdf")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The names of the files in the wheel that pip builds from a copy of the source."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("deeprs2v_ros", *SHARED):
        if (SOURCE / name).is_dir():
            shutil.copytree(SOURCE / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("package.xml", "pyproject.toml", "setup.py"):
        shutil.copy(SOURCE / name, folder / "source")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder]
    subprocess.run([*command, folder / "source"], check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(path).namelist())


def test_every_module_is_in_the_wheel(wheel):
    modules = {str(path.relative_to(SOURCE)) for path in (SOURCE / "deeprs2v_ros").rglob("*.py")}
    assert modules <= wheel


def test_shared_files_are_where_a_ros_installation_has_them(wheel):
    files = {str(path.relative_to(SOURCE)) for name in SHARED for path in (SOURCE / name).rglob("*") if path.is_file()}
    installed = {name.partition("data/share/deeprs2v_ros/")[2] for name in wheel}
    assert files <= installed
    assert "package.xml" in installed
