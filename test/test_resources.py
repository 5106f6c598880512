"""Where the package's files are found: in the source, in a ROS prefix, in a pip installation."""

import sys

import pytest

from deeprs2v_ros import resources
from deeprs2v_ros.errors import InputError


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The module as if it were installed away from its source, in a prefix without files."""
    monkeypatch.setattr(resources, "__file__", str(tmp_path / "site-packages/deeprs2v_ros/resources.py"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "python"))
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    return tmp_path


def put(prefix, text):
    path = prefix / "share/deeprs2v_ros/config/some.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_source_tree(tmp_path, monkeypatch):
    monkeypatch.setattr(resources, "__file__", str(tmp_path / "deeprs2v_ros/resources.py"))
    put(tmp_path / "prefix", "installed")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path / "prefix"))
    (tmp_path / "package.xml").touch()
    (tmp_path / "config").mkdir()
    (tmp_path / "config/some.yaml").touch()
    assert resources.resource("config/some.yaml") == tmp_path / "config/some.yaml"


def test_nearest_ros_prefix_wins(installed, monkeypatch):
    put(installed / "underlay", "under")
    over = put(installed / "overlay", "over")
    put(installed / "python", "pip")
    prefixes = ["", str(installed / "missing"), str(installed / "overlay"), str(installed / "underlay")]
    monkeypatch.setenv("AMENT_PREFIX_PATH", ":".join(prefixes))
    assert resources.resource("config/some.yaml") == over


def test_pip_installation(installed):
    expected = put(installed / "python", "pip")
    assert resources.resource("config/some.yaml") == expected


def test_missing_file_is_named(installed):
    with pytest.raises(InputError, match=r"config/other\.yaml: not among"):
        resources.resource("config/other.yaml")
