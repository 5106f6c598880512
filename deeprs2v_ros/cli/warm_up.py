"""Compile everything that is compiled, so that the first start is as quick as any other.

The inner loops are compiled when they are first used, which takes a minute in all, and kept beside the code. This
command uses each of them once, on a small simulated patient. `make setup` and `colcon build` run it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from time import perf_counter

import numpy as np
from tqdm import tqdm

from deeprs2v_ros.arm.description import read_arm
from deeprs2v_ros.arm.uncertainty import UncertainArm
from deeprs2v_ros.geometry import rigid
from deeprs2v_ros.imaging.reconstruction import reconstruct
from deeprs2v_ros.imaging.sequence import Sequence
from deeprs2v_ros.imaging.slicing import take_slice
from deeprs2v_ros.registration.tracker import Tracker
from deeprs2v_ros.resources import resource
from deeprs2v_ros.simulation.anatomy import make_liver
from deeprs2v_ros.simulation.breathing import Breathing
from deeprs2v_ros.simulation.paths import pose_on_skin, sweep_poses
from deeprs2v_ros.simulation.probe import CurvilinearProbe
from deeprs2v_ros.simulation.scanner import UltrasoundSimulator

PIXEL, VOXEL = 1.5, 2.0  # mm: coarse, so that only compiling takes time
FRAMES = 5
SECOND = 1_000_000_000

_BAR = "{desc} |{bar}| {n}/{total} {elapsed} {postfix}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """There are none."""


def run(arguments: argparse.Namespace) -> None:
    """Use everything once, with a progress bar."""
    began = perf_counter()
    with tqdm(total=5, desc="compiling", unit="step", bar_format=_BAR) as bar:

        def step(what: str) -> None:
            bar.set_postfix_str(what)
            bar.update()

        bar.set_postfix_str("arm")
        arm = read_arm(str(resource("config/arm/liver.yaml")))
        UncertainArm(arm, arm.chain.moving_transforms(arm.rest)[-1].child).pose(arm.rest)
        step("simulated patient")
        probe = CurvilinearProbe(pixel_mm=PIXEL)
        simulator = UltrasoundSimulator(make_liver(1), probe, Breathing(1))
        nominal = pose_on_skin(probe, (0.0, 0.0, 0.0))
        poses = sweep_poses(probe, nominal, FRAMES, 20.0, 10.0)
        images = np.stack([simulator.image(pose) for pose in poses])
        moving = simulator.image(nominal, 1.0)
        step("volume")
        tracked = poses @ probe.image_from_pixel
        sweep = Sequence(images, tracked, np.arange(FRAMES) / 10.0, np.ones(FRAMES, dtype=bool))
        volume = reconstruct(sweep, probe.mask, VOXEL)
        step("search")
        tracker = Tracker(volume, probe.mask, probe.image_from_pixel)
        black = np.zeros_like(moving)
        tracker.register_frame(black, nominal)
        tracker.reset()
        middle = len(poses) // 2
        found = tracker.register_frame(images[middle], poses[middle], SECOND)
        step("following")
        tracker.register_frame(images[middle], poses[middle], SECOND + SECOND // 10)
        tracker.contradicts(moving, replace(found, registered=nominal @ rigid(translation=(1.0, 0.0, 0.0))))
        finest = tracker.levels[-1]
        take_slice(finest.volume, finest.lattice, nominal, finest.mask)
        step("done")
    print(f"compiled, or found compiled, in {perf_counter() - began:.0f} s")
