"""The layouts of RViz and Foxglove look at topics that exist, in the ways that show them right."""

import json
import re
from pathlib import Path

import pytest
import yaml

from deeprs2v_ros.resources import resource

NODES = Path(__file__).resolve().parents[1] / "deeprs2v_ros" / "nodes"


@pytest.fixture(scope="module")
def published():
    """Topics that the nodes' code names."""
    code = "\n".join(path.read_text() for path in NODES.rglob("*.py"))
    found = set(re.findall(r'"((?:view|volume|monitor|registration|us)/\w+|robot_description|/diagnostics)"', code))
    return found | {f"view/{name}" for name in ("live", "slice", "mri", "blend", "panel")}


@pytest.fixture(scope="module")
def displays():
    layout = yaml.safe_load(resource("rviz/guidance.rviz").read_text())
    return {each["Name"]: each for each in layout["Visualization Manager"]["Displays"]}


def test_rviz_looks_at_topics_that_exist(displays, published):
    topics = [each[key]["Value"] for each in displays.values() for key in each if key.endswith("Topic")]
    assert len(topics) >= 6
    assert {topic.lstrip("/") for topic in topics if not topic.endswith("_updates")} <= published


def test_rviz_shows_exact_grey_levels(displays):
    plane, panel = displays["Live plane"], displays["Guidance"]
    assert (plane["Color Scheme"], plane["Alpha"], plane["Topic"]["Value"]) == ("raw", 1, "/view/plane")
    assert plane["Topic"]["Durability Policy"] == "Volatile"  # as it is published: otherwise nothing is shown
    assert panel["Normalize Range"] is False


def test_rviz_keeps_its_panels_where_they_are():
    geometry = yaml.safe_load(resource("rviz/guidance.rviz").read_text())["Window Geometry"]
    state = bytes.fromhex(geometry["QMainWindow State"])
    for name in ("Displays", "Guidance"):
        assert name.encode("utf-16-be") in state


def test_foxglove_shows_the_same(displays, published):
    layout = json.loads(resource("foxglove/guidance.json").read_text())
    scene = layout["configById"]["3D!scene"]["topics"]
    assert {topic.lstrip("/") for topic in scene} <= published
    assert scene["/view/plane"]["colorMode"] == "raw"
    assert layout["configById"]["Image!guidance"]["imageMode"]["imageTopic"] == displays["Guidance"]["Topic"]["Value"]
    in_rviz = {each["Topic"]["Value"] for each in displays.values() if "Topic" in each} - {"/view/panel"}
    assert in_rviz <= set(scene)
