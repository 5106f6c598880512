"""Bare nodes for the tests of what the underlay supplies."""

import pytest


@pytest.fixture
def make_node(ros, keep):
    """Makes nodes, and destroys them in the end."""
    import rclpy

    return lambda name, **options: keep(rclpy.create_node(name, context=ros, **options))
