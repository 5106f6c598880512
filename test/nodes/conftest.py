"""A bench that shows images to the registration."""

import pytest
from phantoms import IMAGE_FROM_PIXEL, cut_frame, fan, middle_pose, phantom

from deeprs2v_ros.registration.tracker import Tracker


@pytest.fixture(scope="session", autouse=True)
def _compiled():
    """Compiles the registration before any node waits for it: half a minute on a fresh machine."""
    volume = phantom("spheres")
    pose = middle_pose(volume)
    Tracker(volume, fan(), IMAGE_FROM_PIXEL).register_frame(cut_frame(volume, pose), pose)


@pytest.fixture
def make_bench(ros, keep, spin_until, tmp_path):
    """Makes a bench around a registration node with further parameters."""
    from bench import Bench  # needs ROS

    return lambda **parameters: Bench(ros, keep, spin_until, tmp_path, parameters)


@pytest.fixture
def bench(make_bench):
    """A bench whose registration has read its volume and is ready."""
    bench = make_bench()
    bench.send_volume()
    bench.until_ready()
    return bench
