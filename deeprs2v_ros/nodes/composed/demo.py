"""The whole cart in one process, with a bag of everything: what `deeprs2v demo` runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.nodes.arm_encoders import ArmEncoders
from deeprs2v_ros.nodes.arm_kinematics import ArmKinematics
from deeprs2v_ros.nodes.composed.bag_recorder import BagRecorder
from deeprs2v_ros.nodes.composed.composition import Composition, ros_arguments
from deeprs2v_ros.nodes.composed.live_figures import LiveFigures
from deeprs2v_ros.nodes.registration import RegistrationNode
from deeprs2v_ros.nodes.ultrasound_source import UltrasoundSource
from deeprs2v_ros.nodes.volume_server import VolumeServer

PATIENCE = 120.0
"""Seconds that may pass until the first image is tracked; the very first run compiles meanwhile."""

_REFRESH = 0.1
_LAST_IMAGES = 0.5  # s that the registration has for the images still at work, after the last one was taken
_BAR = "{desc} |{bar}| {n:.0f}/{total:.0f} s  {postfix}"


def run_nodes(parameters: Path, bag: Path, duration: float) -> None:
    """Run all nodes with the YAML file ``parameters`` for ``duration`` seconds after tracking began, or until Ctrl-C.

    The tumour is looked up by a process of its own. Every topic is recorded to the new folder ``bag``. Raises
    InputError for parameters that a node refuses, if nothing was tracked, and in the end if the bag is not whole.
    """
    # The volume server says how far the acquisition has got, which takes a while.
    with Composition(ros_arguments(str(parameters), ["volume_server"])) as nodes, _recording(bag) as recorder:
        nodes.add_process("deeprs2v_ros.nodes.target_monitor")
        figures = nodes.add(LiveFigures)
        for node_class in (ArmEncoders, ArmKinematics, RegistrationNode, VolumeServer):
            nodes.add(node_class)
        source = nodes.add(UltrasoundSource)  # last, so that nobody misses the first image
        interrupted = _watch(nodes, recorder, figures, duration)
        nodes.stop(source)
        time.sleep(_LAST_IMAGES)
    if figures.tracking_since is None:
        began = "interrupted" if interrupted else f"nothing in {PATIENCE:g} s"
        raise InputError(f"nothing was tracked: {began}, last {figures.state or 'nothing'} {figures.reason}, {figures}")


@contextmanager
def _recording(bag: Path) -> Iterator[BagRecorder]:
    recorder = BagRecorder(bag)
    try:
        yield recorder
    finally:
        recorder.destroy_node()


def _watch(nodes: Composition, recorder: BagRecorder, figures: LiveFigures, duration: float) -> bool:
    """Show the figures until the time is over. True if Ctrl-C ended it."""
    deadline = time.monotonic() + PATIENCE
    seldom = _REFRESH if sys.stderr.isatty() else duration / 10.0
    with tqdm(total=duration, bar_format=_BAR, mininterval=seldom, dynamic_ncols=True) as line:
        try:
            while figures.tracking_since is not None or time.monotonic() < deadline:
                nodes.check()
                recorder.check()
                seconds = 0.0 if figures.tracking_since is None else time.monotonic() - figures.tracking_since
                line.set_description_str(figures.doing, refresh=False)
                line.set_postfix_str(str(figures), refresh=False)
                line.update(min(seconds, duration) - line.n)
                if seconds >= duration:
                    return False
                time.sleep(_REFRESH)
        except KeyboardInterrupt:
            return True
    return False
