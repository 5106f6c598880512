"""Launch files load and start what they say. `launch` comes with ROS only."""

import importlib.util
from pathlib import Path

import pytest

from deeprs2v_ros.nodes.composed.cart import NODES as CART

SOURCE = Path(__file__).resolve().parents[2]

pytest.importorskip("launch_ros", reason="needs launch and launch_ros, which come with a ROS installation")


def load(name):
    path = SOURCE / "launch" / f"{name}.launch.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def context(**configurations):
    from launch import LaunchContext

    context = LaunchContext()
    context.launch_configurations.update({"parameters": "file.yaml", "composed": "true"} | configurations)
    return context


def commands(entities, context):
    """What would be run: the program and its own arguments."""
    from launch.utilities import perform_substitutions

    found = []
    for entity in entities:
        words = [perform_substitutions(context, word) for word in entity.cmd[1:]]
        program = getattr(entity, "node_executable", "ros2")
        found.append([program, *words[: words.index("--ros-args") if "--ros-args" in words else None]])
    return found


@pytest.mark.parametrize("name", ["cart", "simulator", "replay"])
def test_launch_file_describes_itself(name):
    description = load(name).generate_launch_description()
    arguments = {argument.name: argument for argument in description.get_launch_arguments()}
    assert {"parameters", "rviz", "composed"} <= arguments.keys()
    assert arguments["composed"].default_value[0].text == "true"


@pytest.mark.parametrize(("bag", "first"), [("", "ultrasound_source"), ("/some/bag", "arm_kinematics")])
def test_replay_starts_what_the_recording_needs(bag, first):
    entities = load("replay").players(context(bag=bag, composed="false"))
    assert entities[0].node_executable == first
    assert len(entities) == (5 if bag else 4)


@pytest.mark.parametrize(("bag", "unwanted"), [("", "arm_kinematics"), ("/some/bag", "ultrasound_source")])
def test_replay_in_one_process_starts_the_same_nodes(bag, unwanted):
    here = context(bag=bag)
    first, *others = commands(load("replay").players(here), here)
    assert first == ["cart", "--without", "arm_encoders", unwanted]
    assert len(others) == bool(bag)


@pytest.mark.parametrize("encoders", ["true", "false"])
def test_cart_starts_one_program_or_one_for_each_node(encoders):
    together, apart = (context(encoders=encoders, composed=composed) for composed in ("true", "false"))
    arguments = [] if encoders == "true" else ["--without", "arm_encoders"]
    assert commands(load("cart").nodes(together), together) == [["cart", *arguments]]
    names = {name for (name,) in commands(load("cart").nodes(apart), apart)}
    assert names == CART.keys() - set(arguments)


def test_simulator_starts_one_program_or_one_for_each_node():
    together, apart = context(), context(composed="false")
    assert commands(load("simulator").nodes(together), together) == [["cart"]]
    assert {name for (name,) in commands(load("simulator").nodes(apart), apart)} == CART.keys()
