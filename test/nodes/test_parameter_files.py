"""The parameter files: every name in them is a parameter of a node, and the nodes start with them."""

import gc
import itertools
from traceback import clear_frames

import cv2
import numpy as np
import pytest
import yaml
from bench import VOLUME_IMAGE, overrides
from rclpy.node import Node

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.imaging.sequence import Sequence, write_sequence
from deeprs2v_ros.imaging.volume import write_volume
from deeprs2v_ros.nodes.arm_encoders import ArmEncoders
from deeprs2v_ros.nodes.arm_kinematics import ArmKinematics
from deeprs2v_ros.nodes.guidance_view import GuidanceView
from deeprs2v_ros.nodes.health import Health
from deeprs2v_ros.nodes.registration import RegistrationNode
from deeprs2v_ros.nodes.target_monitor import TargetMonitor
from deeprs2v_ros.nodes.ultrasound_source import UltrasoundSource
from deeprs2v_ros.nodes.volume_server import VolumeServer
from deeprs2v_ros.parameters.names import NAMES
from deeprs2v_ros.registration.settings import GateSettings
from deeprs2v_ros.registration.supervisor import SupervisorSettings
from deeprs2v_ros.resources import resource
from deeprs2v_ros.training.gate_learning import LINES

CLASSES = {
    "arm_encoders": ArmEncoders,
    "arm_kinematics": ArmKinematics,
    "ultrasound_source": UltrasoundSource,
    "volume_server": VolumeServer,
    "registration": RegistrationNode,
    "target_monitor": TargetMonitor,
    "guidance_view": GuidanceView,
    "health": Health,
}


WAYS = {
    "arm_encoders": [
        {"source": "scene", "scene.kind": "recorded"},
        {"source": "log", "log.file": "none"},
        {"source": "serial", "serial.port": "none"},
    ],
    "arm_kinematics": [{}],
    "ultrasound_source": [{"scene.kind": "recorded"}, {"source": "sequence", "sequence": "none"}, {"source": "video"}],
    "volume_server": [
        {"source": "file", "scene.kind": "recorded"},
        {"source": "file"},
        {"source": "sequence", "sequence": "none"},
        {"source": "scene"},
    ],
    "registration": [{"method": "lncc"}],
    "target_monitor": [{}],
    "guidance_view": [{"scene.kind": "recorded"}, {}],
    "health": [{}],
}
"""Parameters by which each node declares, between them, all that it ever does; most are refused for a missing file."""


def sections(name):
    content = yaml.safe_load(resource(f"config/{name}.yaml").read_text())
    return {node.removeprefix("/**/"): entry["ros__parameters"] for node, entry in content.items()}


@pytest.fixture
def inputs(tmp_path):
    """What the lines marked CHANGE ask for, by file and node."""
    write_volume(tmp_path / "volume.mha", VOLUME_IMAGE)
    writer = cv2.VideoWriter(str(tmp_path / "video.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (752, 564))
    for _ in range(3):
        writer.write(np.full((564, 752, 3), 99, np.uint8))
    writer.release()
    frames = np.zeros((2, 564, 752), np.uint8)
    poses = np.stack([np.diag([0.28, 0.28, 0.28, 1.0])] * 2)
    write_sequence(tmp_path / "frames.igs.mha", Sequence(frames, poses, np.array([0.0, 0.1]), np.ones(2, bool)))
    volume = {"volume": str(tmp_path / "volume.mha")}
    return {
        "cart": {
            "arm_encoders": {"serial.port": str(tmp_path / "ttyUSB0")},
            "ultrasound_source": {"video.device": str(tmp_path / "video.avi")},
            "volume_server": volume,
        },
        "replay": {"ultrasound_source": {"sequence": str(tmp_path / "frames.igs.mha")}, "volume_server": volume},
        "simulator": {"volume_server": {"output": str(tmp_path / "made.mha"), "sweep_frames": 12, "spacing": 3.0}},
    }


@pytest.mark.parametrize("name", ["cart", "replay", "simulator"])
def test_every_name_in_the_file_is_a_parameter_of_a_running_node(ros, keep, inputs, name):
    given = sections(name)
    started = [node for node in CLASSES if name != "replay" or node != "arm_encoders"]
    arguments = ["--ros-args", "--params-file", str(resource(f"config/{name}.yaml"))]
    declared = {}
    for node in started:
        changed = overrides(inputs[name].get(node, {}))
        running = keep(CLASSES[node](context=ros, cli_args=arguments, parameter_overrides=changed))
        declared[node] = set(running.get_parameters_by_prefix(""))
        for parameter in declared[node] - {"use_sim_time"}:
            description = running.describe_parameter(parameter).description
            assert description or parameter.startswith(("qos", "start_type", "/")), f"{node}: {parameter} says nothing"
    for node, parameters in given.items():
        known = set(itertools.chain(*declared.values())) if node == "/**" else declared[node]
        assert set(parameters) <= known, f"{node}: unknown parameters"


@pytest.mark.parametrize("name", ["cart", "replay", "simulator"])
def test_files_show_the_defaults_of_trust_and_of_what_of_the_gate_is_no_method_s_own(name):
    registration = sections(name)["registration"]
    shared = {key: value for key, value in vars(GateSettings()).items() if key not in LINES.values()}
    for prefix, defaults in (("gate", shared), ("trust", vars(SupervisorSettings()))):
        assert {k.split(".")[1]: value for k, value in registration.items() if k.startswith(prefix)} == defaults


@pytest.fixture
def refusal(ros, keep):
    """Makes a node, and says for what reason it refuses its parameters; an empty one if it does not."""

    def make(node, values):
        try:
            keep(CLASSES[node](context=ros, parameter_overrides=overrides(values)))
        except InputError as error:
            clear_frames(error.__traceback__)  # or what there is of the node would be destroyed as if it were whole
            return str(error)
        return ""

    yield make
    gc.collect()


@pytest.fixture
def declared(refusal, monkeypatch):
    """What a node declares with some parameters, even if it refuses them in the end: name -> value."""
    found = {}
    original = Node.declare_parameter

    def declare_parameter(self, name, *arguments, **options):
        parameter = original(self, name, *arguments, **options)
        found[name] = parameter.value
        return parameter

    monkeypatch.setattr(Node, "declare_parameter", declare_parameter)

    def ask(node, values):
        found.clear()
        refusal(node, values)
        of_ros = ("use_sim_time", "qos_overrides", "start_type")
        return {name: value for name, value in found.items() if not name.startswith(of_ros)}

    return ask


@pytest.mark.parametrize("node", WAYS)
def test_the_table_of_names_is_that_of_the_nodes(declared, node):
    assert set().union(*(declared(node, way) for way in WAYS[node])) == NAMES[node]


COUNTS = {"image.face": 2, "mri.window": 2, "arm_mount": 6, "scene.target": 3}
"""Of the numbers that may be left out."""


def impossible(name, value):
    """Values of the same type as ``value`` that no number of a cart can have."""
    if isinstance(value, bool | str) or name in ("nodes", "serial.joints"):
        return []
    if isinstance(value, int):
        return [-1, 2**62]
    if isinstance(value, float):
        return [float("nan"), 1e300]
    numbers = [0.0] * COUNTS[name] if name in COUNTS else list(value)
    return [[wrong] * len(numbers) for wrong in (float("nan"), -1e300)] if isinstance(numbers[0], float) else []


@pytest.mark.parametrize("node", WAYS)
def test_a_number_that_cannot_be_is_refused_by_the_parameter_s_name(declared, refusal, node):
    seen = set()
    for way in WAYS[node]:
        for name, value in declared(node, way).items():
            for wrong in impossible(name, value) if name not in seen else []:
                said = refusal(node, way | {name: wrong})
                assert said.removeprefix("parameter ").startswith(f"{name}: "), (name, wrong, said)
                assert "\n" not in said
            seen.add(name)


@pytest.mark.parametrize("node", WAYS)
def test_a_value_of_another_type_is_refused_by_the_parameter_s_name(declared, refusal, node):
    for way in WAYS[node]:
        for name, value in declared(node, way).items():
            said = refusal(node, way | {name: 1 if isinstance(value, str) else "wrong"})
            assert said.startswith(f"parameter {name}: "), name
            assert "\n" not in said
