"""Where torch, MONAI and safetensors are not installed, everything that needs no network works; the rest says so."""

import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from phantoms import IMAGE_FROM_PIXEL, cut_frame, middle_pose, phantom

from deeprs2v_ros.imaging.sequence import Sequence, write_sequence
from deeprs2v_ros.imaging.volume import write_volume

WITHOUT = """
import importlib, pkgutil, runpy, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "monai", "safetensors"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""
MODULE = "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
EVERYTHING = """
import deeprs2v_ros
folders = [path for path in deeprs2v_ros.__path__ if "install" not in path][:1]
for module in pkgutil.walk_packages(folders, "deeprs2v_ros.", onerror=lambda name: None):
    if module.name.split(".")[1] in sys.argv[1:]:
        importlib.import_module(module.name)
"""


def without_network(code, *arguments):
    return subprocess.run([sys.executable, "-c", WITHOUT + code, *map(str, arguments)], capture_output=True, text=True)


def command(*arguments):
    return without_network(MODULE, "deeprs2v_ros.cli.main", *arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    volume = phantom("spheres")
    pose = middle_pose(volume)
    frames = np.stack([cut_frame(volume, pose, seed=seed) for seed in range(3)])
    poses = np.stack([pose @ IMAGE_FROM_PIXEL] * 3)
    write_volume(folder / "volume.mha", volume)
    write_sequence(folder / "frames.igs.mha", Sequence(frames, poses, 0.1 * np.arange(3), np.ones(3, bool)))
    return folder


def test_the_core_is_imported():
    core = ["arm", "evaluation", "imaging", "parameters", "registration", "replay", "demo", "simulation", "bags"]
    ended = without_network(EVERYTHING, *core)
    assert ended.returncode == 0, ended.stderr


def test_register_by_lncc_works(folder):
    inputs = ("--volume", folder / "volume.mha", "--sequence", folder / "frames.igs.mha", "--output", folder / "p.csv")
    ended = command("register", *inputs, "--method", "lncc")
    assert ended.returncode == 0, ended.stderr
    assert len((folder / "p.csv").read_text().splitlines()) == 4
    ended = command("register", *inputs, "--method", "deeprs2v+lncc")
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1] == (
        "deeprs2v register: error: method: deeprs2v+lncc needs torch: pip install 'deeprs2v_ros[network]'; "
        "the method lncc does without"
    )


@pytest.mark.parametrize("subcommand", ["reconstruct", "replay", "evaluate", "warm-up"])
def test_commands_that_need_no_network_are_there(subcommand):
    assert command(subcommand, "--help").returncode == 0


@pytest.mark.parametrize("subcommand", ["train", "finetune", "learn-gate"])
def test_commands_that_train_say_what_they_need(subcommand):
    ended = command(subcommand, "--help")
    assert ended.returncode == 2
    assert ended.stderr == f"deeprs2v {subcommand}: error: needs torch: pip install 'deeprs2v_ros[network]'\n"


@pytest.mark.skipif(find_spec("rclpy") is None, reason="needs ROS: source install/setup.bash")
def test_the_node_says_what_its_usual_method_needs():
    ended = without_network(MODULE, "deeprs2v_ros.nodes.registration", "--ros-args")
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert "[FATAL]" in line
    assert "needs torch" in line
    assert "lncc does without" in line
