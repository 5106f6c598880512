"""All nodes in one process: the same topics and transforms as when each has its own, and a quiet end."""

import os
import signal
import subprocess
import sys
import time
from threading import Event

import numpy as np
import pytest
import rclpy
import yaml
from bench import VOLUME_IMAGE
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

from deeprs2v_ros.arm.description import read_arm
from deeprs2v_ros.imaging.sequence import Sequence, write_sequence
from deeprs2v_ros.imaging.volume import write_volume
from deeprs2v_ros.nodes.composed import composition
from deeprs2v_ros.nodes.composed.composition import Composition
from deeprs2v_ros.nodes.running import spinning
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import joints_from_message, nanoseconds, transform_from_message
from deeprs2v_ros.resources import resource

ARM = read_arm(resource("config/arm/liver.yaml"))
PATIENCE = 60.0  # s
WITHOUT_SOURCE = ("--without", "ultrasound_source")


@pytest.fixture
def parameters(tmp_path):
    """A parameter file of a cart whose encoders come from a log: the arm swings for ever."""
    write_volume(tmp_path / "volume.mha", VOLUME_IMAGE)
    lines = ["stamp," + ",".join(ARM.chain.joint_names)]
    for k in range(200):
        joints = ARM.rest | {"j1": ARM.rest["j1"] + 0.2 * np.sin(np.pi * k / 100), "j6": ARM.rest["j6"] - 0.001 * k}
        counts = ARM.encoders.counts(joints)
        lines.append(",".join(map(str, [0.01 * k, *(counts[name] for name in ARM.chain.joint_names)])))
    (tmp_path / "counts.csv").write_text("\n".join(lines) + "\n")
    content = yaml.safe_load(resource("config/cart.yaml").read_text())
    content = {node.removeprefix("/**/"): entry["ros__parameters"] for node, entry in content.items()}
    content["arm_encoders"] |= {"source": "log", "log.file": str(tmp_path / "counts.csv")}
    content["volume_server"]["volume"] = str(tmp_path / "volume.mha")

    def write(**changed):
        for node, values in changed.items():
            content[node] |= values
        path = tmp_path / "cart.yaml"
        path.write_text(
            yaml.safe_dump(
                {
                    f"/**/{node}".replace("/**//**", "/**"): {"ros__parameters": values}
                    for node, values in content.items()
                }
            )
        )
        return path

    return write


@pytest.fixture
def start(ros):
    """Starts a program of the package in the domain of the test; kills it in the end."""
    programs = []

    def run(module, *arguments):
        environment = os.environ | {"ROS_DOMAIN_ID": str(ros.get_domain_id())}
        command = [sys.executable, "-m", f"deeprs2v_ros.nodes.{module}", *map(str, arguments)]
        programs.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
        return programs[-1]

    yield run
    for program in programs:
        program.kill()
        program.communicate()


class Hand:
    """What comes by in a namespace: joint states and moving transforms by stamp, fixed ones, the volume's path."""

    def __init__(self, context, keep, spin_until, namespace=""):
        self.node = keep(rclpy.create_node("hand", context=context))
        self._spin_until = spin_until
        self.joints, self.moving, self.fixed, self.volumes = {}, {}, {}, []
        self.node.create_subscription(JointState, f"{namespace}/joint_states", self._on_joints, 1000)
        self.node.create_subscription(String, f"{namespace}/volume/file", self.volumes.append, qos.LATCHED)
        self.node.create_subscription(TFMessage, "/tf", self._on_moving, 1000)
        self.node.create_subscription(TFMessage, "/tf_static", self._on_fixed, qos.FIXED_TRANSFORMS)

    def until(self, condition):
        self._spin_until(condition, self.node, seconds=PATIENCE)

    def _on_joints(self, message):
        self.joints[nanoseconds(message.header.stamp)] = joints_from_message(message, ARM.chain)

    def _on_moving(self, message):
        stamp = nanoseconds(message.transforms[0].header.stamp)
        self.moving[stamp] = {(t.header.frame_id, t.child_frame_id): t.transform for t in message.transforms}

    def _on_fixed(self, message):
        self.fixed |= {(t.header.frame_id, t.child_frame_id): t.transform for t in message.transforms}


@pytest.fixture
def hand(ros, keep, spin_until):
    return Hand(ros, keep, spin_until)


def end(program, *signals):
    """Status and what was said."""
    for number in signals:
        program.send_signal(number)
    return program.communicate(timeout=PATIENCE)[1], program.returncode


def ros(path):
    return ("--ros-args", "--params-file", path, "--log-level", "WARN")


def test_transforms_are_those_of_separate_nodes_and_two_signals_at_once_end_it_quietly(hand, start, parameters):
    path = parameters()
    composed = start("composed.cart", *WITHOUT_SOURCE, *ros(path))
    hand.until(lambda: len(hand.joints.keys() & hand.moving.keys()) >= 50 and len(hand.fixed) == 6 and hand.volumes)
    assert end(composed, signal.SIGINT, signal.SIGINT) == ("", 0)
    together = hand.fixed
    for stamp in hand.joints.keys() & hand.moving.keys():
        expected = {each[:2]: each[2] for each in ARM.chain.moving_transforms(hand.joints[stamp])}
        assert hand.moving[stamp].keys() == expected.keys()
        for frames, transform in hand.moving[stamp].items():
            assert transform_from_message(transform) == pytest.approx(expected[frames], abs=1e-9)
    assert np.median(np.diff(sorted(hand.moving))) == pytest.approx(20e6, abs=2)  # every second sample

    hand.joints, hand.moving, hand.fixed = {}, {}, {}
    separate = [start(name, *ros(path)) for name in ("arm_encoders", "arm_kinematics", "volume_server")]
    hand.until(lambda: len(hand.joints.keys() & hand.moving.keys()) >= 50 and len(hand.fixed) == 6)
    assert [end(program, signal.SIGTERM) for program in separate] == [("", 0)] * 3
    assert hand.fixed == together
    for stamp in hand.joints.keys() & hand.moving.keys():
        expected = {each[:2]: each[2] for each in ARM.chain.moving_transforms(hand.joints[stamp])}
        for frames, transform in hand.moving[stamp].items():
            assert transform_from_message(transform) == pytest.approx(expected[frames], abs=1e-9)


def test_namespace_and_remapping_reach_all_nodes(ros, keep, spin_until, start, parameters):
    hand = Hand(ros, keep, spin_until, "/cart1")
    heard = []
    hand.node.create_subscription(String, "/described", heard.append, qos.LATCHED)
    changes = ("-r", "__ns:=/cart1", "-r", "robot_description:=/described")
    program = start("composed.cart", *WITHOUT_SOURCE, "--ros-args", "--params-file", parameters(), *changes)
    hand.until(lambda: hand.joints and hand.volumes and heard)
    names = {name for name, space in hand.node.get_node_names_and_namespaces() if space == "/cart1"}
    assert {"arm_encoders", "arm_kinematics", "registration", "target_monitor", "volume_server"} <= names
    assert end(program, signal.SIGTERM)[1] == 0


def test_bad_parameter_is_one_fatal_line_that_names_the_node(start, parameters):
    path = parameters(registration={"method": "magic"})
    said, status = end(start("composed.cart", *WITHOUT_SOURCE, *ros(path)))
    assert status == 2
    assert len(said.splitlines()) == 1
    assert "[FATAL]" in said
    assert "[registration]: parameter method: is 'magic'" in said


def test_misspelt_parameter_is_one_fatal_line_that_names_the_right_one(start, parameters):
    path = parameters(registration={"metod": "lncc"})
    said, status = end(start("composed.cart", *WITHOUT_SOURCE, *ros(path)))
    assert status == 2
    assert len(said.splitlines()) == 1
    assert "registration has no parameter metod: did you mean method?" in said


def test_a_tracked_sequence_beside_the_arm_is_refused(start, parameters, tmp_path):
    frames, poses = np.zeros((2, 564, 752), np.uint8), np.stack([np.diag([0.28, 0.28, 0.28, 1.0])] * 2)
    write_sequence(tmp_path / "f.igs.mha", Sequence(frames, poses, np.array([0.0, 0.1]), np.ones(2, bool)))
    path = parameters(ultrasound_source={"source": "sequence", "sequence": str(tmp_path / "f.igs.mha")})
    said, status = end(start("composed.cart", "--without", "volume_server", *ros(path)))
    assert status == 2
    assert "source is sequence, which brings its own poses" in said.splitlines()[-1]


def test_missing_parameter_file_is_one_fatal_line(start, tmp_path):
    said, status = end(start("composed.cart", *ros(tmp_path / "nothing.yaml")))
    assert status == 2
    assert len(said.splitlines()) == 1
    assert "nothing.yaml" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_while_it_starts_end_it_quietly(start, parameters, number):
    """Wherever it is by then: the moments differ from run to run, the end does not."""
    path = parameters()
    for delay in (0.6, 1.2, 2.0, 3.0):
        program = start("composed.cart", *WITHOUT_SOURCE, *ros(path))
        time.sleep(delay)
        assert end(program, number, number) == ("", 0), delay


def test_unknown_node_is_refused(start):
    said, status = end(start("composed.cart", "--without", "barista"))
    assert status == 2
    assert "invalid choice: 'barista'" in said


class Waiter(Node):
    """Its callback waits for an event."""

    def __init__(self, event, **options):
        super().__init__("waiter", **options)
        self.create_subscription(String, "wait", lambda _: event.wait(PATIENCE), 10)


class Echo(Node):
    """Keeps what it hears."""

    def __init__(self, **options):
        super().__init__("echo", **options)
        self.heard = []
        self.create_subscription(String, "wait", self.heard.append, 10)


@pytest.fixture(params=["events", "usual"])
def executor(request, monkeypatch):
    """Runs a test with the executor of Kilted, and with the one that Jazzy has."""
    if request.param == "events" and not spinning.QUICK:
        pytest.skip("needs ROS 2 Kilted")
    for module in (spinning, composition):
        monkeypatch.setattr(module, "QUICK", request.param == "events")
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.setenv("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_slow_node_keeps_nobody_waiting_and_one_can_be_stopped_before_the_others(executor):
    released = Event()
    with Composition(["--ros-args"]) as nodes:
        nodes.add(lambda **options: Waiter(released, **options), slow=True)
        echo, other = nodes.add(Echo), nodes.add(Echo)
        publisher = other.create_publisher(String, "wait", 10)
        until(lambda: publisher.get_subscription_count() == 3)
        for _ in range(3):
            publisher.publish(String(data="now"))
        until(lambda: len(echo.heard) == len(other.heard) == 3)
        nodes.stop(echo)
        until(lambda: publisher.get_subscription_count() == 2)
        publisher.publish(String(data="again"))
        until(lambda: len(other.heard) == 4)
        assert len(echo.heard) == 3
        nodes.check()
        released.set()


def test_what_a_callback_raises_is_raised_by_the_check(executor):
    def fail():
        raise RuntimeError("as expected")

    with Composition(["--ros-args"]) as nodes:
        nodes.add(Echo).create_timer(0.01, fail)
        with pytest.raises(RuntimeError, match="as expected"):
            until(lambda: nodes.check())


def test_parameters_reach_all_nodes(executor, tmp_path):
    path = tmp_path / "parameters.yaml"
    path.write_text("/**:\n  ros__parameters:\n    use_sim_time: true\n")
    with Composition(["--ros-args", "--params-file", str(path)]) as nodes:
        assert nodes.add(Echo).get_parameter("use_sim_time").type_ == Parameter.Type.BOOL
        assert nodes.add(Echo).get_parameter("use_sim_time").value
