"""The subcommands with a network: register, train, finetune, learn-gate."""

import csv

import pytest
import torch
from networks import GRID, write_clip

from deeprs2v_ros.cli.main import main
from deeprs2v_ros.network.architectures import build
from deeprs2v_ros.network.checkpoint import Description, load_weights, save_weights


@pytest.fixture
def clip(tmp_path, monkeypatch):
    """A folder with a clip and small untrained weights; the process works in it."""
    write_clip(tmp_path)
    torch.manual_seed(0)
    save_weights(tmp_path / "small.safetensors", *_untrained())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _untrained():
    return build("correspondence", GRID, 0.34), Description("correspondence", GRID, 0.34)


def one_line(capsys):
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


INPUT = ["--volume", "volume.mha", "--sequence", "frames.igs.mha", "--mask", "mask.png"]


@pytest.mark.parametrize("method", ["deeprs2v", "deeprs2v+lncc"])
def test_register_with_a_network_gives_every_frame_a_row_and_the_same_ones_twice(clip, method):
    for name in ("a.csv", "b.csv"):
        arguments = ["--method", method, "--weights", "small.safetensors", "--output", name]
        assert main(["register", *INPUT, *arguments]) == 0
    first, second = (
        [{**row, "runtime_ms": ""} for row in csv.DictReader((clip / n).open())] for n in ("a.csv", "b.csv")
    )
    assert len(first) == 4
    assert first == second


def test_lncc_brings_frames_home_even_after_an_untrained_network(clip):
    """The prior stays among the hypotheses, so that a network that errs takes nothing away."""
    main(["register", *INPUT, "--method", "deeprs2v+lncc", "--weights", "small.safetensors", "--output", "a.csv"])
    main(["evaluate", "--reference", "frames.igs.mha", "--results", "a.csv", "--output", "report"])
    rows = list(csv.DictReader((clip / "report" / "per_frame.csv").open()))
    assert sum(float(row["euclidean_mm"]) < 1.0 for row in rows) >= 3


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--method", "lncc", "--device", "cuda"], "device cuda: the method lncc has no network"),
        (["--method", "itk", "--weights", "small.safetensors"], "weights: the method itk has no network"),
        (["--method", "deeprs2v", "--weights", "nowhere.safetensors"], "nowhere.safetensors: no such file"),
        (["--method", "deeprs2v", "--weights", "mask.png"], "mask.png: cannot be read as safetensors"),
    ],
)
def test_weights_and_devices_that_a_method_cannot_use_are_refused(clip, capsys, arguments, fault):
    before = set(clip.iterdir())
    assert main(["register", *INPUT, *arguments, "--output", "a.csv"]) == 2
    assert fault in one_line(capsys)
    assert set(clip.iterdir()) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused(clip, capsys):
    arguments = ["--method", "deeprs2v", "--weights", "small.safetensors", "--device", "cuda", "--output", "a.csv"]
    assert main(["register", *INPUT, *arguments]) == 2
    assert "cuda was asked for, but there is no GPU" in one_line(capsys)


def test_finetune_writes_weights_that_say_what_they_were_adapted_to(clip):
    arguments = [
        "--volume",
        "volume.mha",
        "--weights",
        "small.safetensors",
        "--steps",
        "2",
        "--output",
        "tuned.safetensors",
    ]
    assert main(["finetune", *arguments]) == 0
    tuned, start = load_weights("tuned.safetensors"), load_weights("small.safetensors")
    assert "volume.mha" in tuned.description.trained_on["then"]
    assert tuned.description.grid == GRID
    states = tuned.network.state_dict(), start.network.state_dict()
    assert any(not torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert {path.name for path in clip.iterdir()} >= {"tuned.safetensors", "small.safetensors"}


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (
            ["finetune", "--volume", "nowhere.mha", "--weights", "small.safetensors", "--output", "t.safetensors"],
            "nowhere.mha",
        ),
        (
            ["finetune", "--volume", "volume.mha", "--steps", "0", "--output", "t.safetensors"],
            "steps and minutes must be",
        ),
        (["train", "--config", "nowhere.yaml", "--output", "run"], "nowhere.yaml: no such file"),
        (
            ["learn-gate", "--count", "1", "--output", "gate.yaml"],
            "count: at least two",
        ),
        (["learn-gate", "--output", "nowhere/gate.yaml"], "nowhere/gate.yaml: the folder nowhere does not exist"),
    ],
)
def test_bad_input_gives_one_line_and_leaves_nothing(clip, capsys, arguments, fault):
    before = set(clip.iterdir())
    assert main(arguments) == 2
    assert fault in one_line(capsys)
    assert set(clip.iterdir()) == before
