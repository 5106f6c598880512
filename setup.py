"""Installs the core and the command `deeprs2v` on a machine without ROS: `pip install .`

The metadata and the dependencies are in pyproject.toml. Here is what that file cannot say: the version is that of
package.xml, and parameters, URDF and RViz layouts go where a ROS installation has them, to share/deeprs2v_ros.
"""

from pathlib import Path
from xml.etree import ElementTree

from setuptools import setup

HERE = Path(__file__).resolve().parent


def shared_files() -> list[tuple[str, list[str]]]:
    """Folders under share/ and the files that go there, relative to this file."""
    folders: dict[Path, list[str]] = {Path(): ["package.xml"]}
    for kind in ("config", "foxglove", "rviz", "urdf"):
        for path in sorted((HERE / kind).rglob("*")):
            if path.is_file():
                folders.setdefault(path.parent.relative_to(HERE), []).append(str(path.relative_to(HERE)))
    return [(str("share/deeprs2v_ros" / folder), files) for folder, files in folders.items()]


setup(version=ElementTree.parse(HERE / "package.xml").findtext("version"), data_files=shared_files())
