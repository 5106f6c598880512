"""Launch files load and start what they say. `launch` comes with ROS only."""

import importlib.util
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2]

pytest.importorskip("launch_ros", reason="needs launch and launch_ros, which come with a ROS installation")


def load(name):
    path = SOURCE / "launch" / f"{name}.launch.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cart", "simulator", "replay"])
def test_launch_file_describes_itself(name):
    description = load(name).generate_launch_description()
    arguments = {argument.name for argument in description.get_launch_arguments()}
    assert {"parameters", "rviz"} <= arguments


@pytest.mark.parametrize(("bag", "first"), [("", "ultrasound_source"), ("/some/bag", "arm_kinematics")])
def test_replay_starts_what_the_recording_needs(bag, first):
    from launch import LaunchContext

    context = LaunchContext()
    context.launch_configurations.update(bag=bag, parameters="file.yaml")
    entities = load("replay").players(context)
    assert entities[0].node_executable == first
    assert len(entities) == (5 if bag else 4)
