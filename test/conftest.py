"""What several tests share: the recordings, and a ROS apart from anything else that runs."""

import gc
import importlib.util
import os
import time
from pathlib import Path

import pytest

HAS_ROS = all(importlib.util.find_spec(name) for name in ("rclpy", "tf2_ros", "cv_bridge", "deeprs2v_ros.msg"))
if HAS_ROS:
    import rclpy

NEEDS_ROS = ("nodes", "underlay")  # folders


class WithoutRos(pytest.Module):
    """A module that cannot even be imported without ROS."""

    def collect(self):
        pytest.skip("needs ROS: source install/setup.bash", allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    if HAS_ROS or module_path.parent.name not in NEEDS_ROS:
        return None
    return WithoutRos.from_parent(parent, path=module_path)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the recordings, which stay outside the project; the test is skipped where they are missing."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}")
    return folder


@pytest.fixture
def ros(monkeypatch):
    """A context of rclpy of its own, in a domain of this process, on this machine alone."""
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=1 + os.getpid() % 100)
    yield context
    gc.collect()  # nodes that refused their parameters, which the context would destroy as if they were whole
    rclpy.shutdown(context=context)


@pytest.fixture
def keep():
    """Takes nodes, and destroys them in the end."""
    nodes = []

    def take(node):
        nodes.append(node)
        return node

    yield take
    for node in nodes:
        node.destroy_node()


@pytest.fixture
def spin_until(ros):
    """Spins nodes until a condition holds; fails after some seconds."""
    executor = rclpy.executors.SingleThreadedExecutor(context=ros)

    def spin(condition, *nodes, seconds=15.0):
        for node in nodes:
            if node not in executor.get_nodes():
                executor.add_node(node)
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"nothing came in {seconds:g} seconds"
            executor.spin_once(timeout_sec=0.05)

    yield spin
    executor.shutdown()


@pytest.fixture
def make_line(tmp_path):
    """Makes a simulated encoder board and its reader, the cable not plugged in."""
    from encoder_line import Line

    lines = []

    def make(**options):
        lines.append(Line(tmp_path / "ttyUSB0", **options))
        return lines[-1]

    yield make
    for line in lines:
        line.reader.close()


@pytest.fixture
def line(make_line):
    """A simulated encoder board that is plugged in and open."""
    line = make_line()
    line.connect()
    return line


@pytest.fixture(scope="session")
def calibration(tmp_path_factory):
    """Gives calibrations of synthetic arms by name, each made once."""
    from calibrations import Calibrations

    return Calibrations(tmp_path_factory.mktemp("calibrations"))
