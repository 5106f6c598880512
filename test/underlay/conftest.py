"""ROS for tests, apart from anything else that runs."""

import importlib.util
import os
import time

import pytest

HAS_ROS = all(importlib.util.find_spec(name) for name in ("rclpy", "tf2_ros", "cv_bridge"))
if HAS_ROS:
    import rclpy


class WithoutRos(pytest.Module):
    """A module that cannot even be imported without ROS."""

    def collect(self):
        pytest.skip("needs ROS: source install/setup.bash", allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    return None if HAS_ROS else WithoutRos.from_parent(parent, path=module_path)


@pytest.fixture
def ros(monkeypatch):
    """A context of rclpy of its own, in a domain of this process, on this machine alone."""
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=1 + os.getpid() % 100)
    yield context
    rclpy.shutdown(context=context)


@pytest.fixture
def make_node(ros):
    """Makes nodes, and destroys them in the end."""
    nodes = []

    def make(name, **options):
        nodes.append(rclpy.create_node(name, context=ros, **options))
        return nodes[-1]

    yield make
    for node in nodes:
        node.destroy_node()


@pytest.fixture
def spin_until(ros):
    """Spins nodes until a condition holds; fails after ten seconds."""
    executor = rclpy.executors.SingleThreadedExecutor(context=ros)

    def spin(condition, *nodes):
        for node in nodes:
            executor.add_node(node)
        deadline = time.monotonic() + 10.0
        while not condition():
            assert time.monotonic() < deadline, "nothing came in ten seconds"
            executor.spin_once(timeout_sec=0.1)

    yield spin
    executor.shutdown()
