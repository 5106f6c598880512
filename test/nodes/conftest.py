"""A bench that shows images to the registration."""

import pytest


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
