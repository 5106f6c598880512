"""Those ROS arguments of a program that are about parameters; without ROS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from deeprs2v_ros.parameters.file import read_parameters
from deeprs2v_ros.parameters.names import NAMES
from deeprs2v_ros.parameters.spelling import check_name, check_spelling


def check_arguments(arguments: Sequence[str]) -> None:
    """Look for parameters that no node would take: see `check_spelling`. ``arguments`` are those of the program.

    Raises InputError naming the file, or the argument, and the fault; also for a file that cannot be read.
    """
    namespace = "/"
    for rule in _values(arguments, "-r", "--remap"):
        name, _, value = rule.partition(":=")
        if name.rpartition(":")[2] == "__ns":
            namespace = value
    for path in _values(arguments, "--params-file"):
        check_spelling(read_parameters(path), namespace)
    for rule in _values(arguments, "-p", "--param"):
        node, _, name = rule.partition(":=")[0].rpartition(":")
        if not node or node in NAMES:
            check_name(f"-p {rule}", node or "*", name)


def _values(arguments: Sequence[str], *options: str) -> Iterator[str]:
    """What follows one of the ``options`` among the arguments for ROS."""
    ours = False
    for argument, following in pairwise(arguments):
        ours = argument == "--ros-args" or (ours and argument != "--")
        if ours and argument in options:
            yield following
