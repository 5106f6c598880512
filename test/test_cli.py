import subprocess
import sys

import cv2
import numpy as np
import pytest

from deeprs2v_ros.cli.main import SUBCOMMANDS, main
from deeprs2v_ros.evaluation.poses import PoseRow, write_poses
from deeprs2v_ros.imaging.sequence import Sequence, write_sequence
from deeprs2v_ros.imaging.volume import Volume, read_volume, write_volume


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a small sweep, its mask, a volume and results; the process works in it."""
    rng = np.random.default_rng(0)
    frames = rng.integers(30, 255, (10, 120, 160), dtype=np.uint8)
    transforms = np.tile(np.diag([0.5, 0.5, 1.0, 1.0]), (10, 1, 1))
    transforms[:, 2, 3] = np.arange(10) * 1.5
    valid = np.ones(10, bool)
    valid[7] = False
    write_sequence(tmp_path / "sweep.igs.mha", Sequence(frames, transforms, np.arange(10) / 10, valid))
    cv2.imwrite(str(tmp_path / "mask.png"), np.full((120, 160), 255, np.uint8))
    cv2.imwrite(str(tmp_path / "small.png"), np.full((12, 16), 255, np.uint8))
    write_volume(tmp_path / "volume.mha", Volume(rng.integers(1, 255, (20, 30, 40), dtype=np.uint8), np.full(3, 0.8)))
    write_poses(
        tmp_path / "lncc.csv", [PoseRow(i, 0.1 * i, "ACCEPTED", "", 0.9, 1, 30, t) for i, t in enumerate(transforms)]
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def one_line(capsys):
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    return lines[0]


def test_reconstruct(folder, capsys):
    before = set(folder.iterdir())
    assert main(["reconstruct", "--sequence", "sweep.igs.mha", "--spacing", "1", "--output", "out.nrrd"]) == 0
    captured = capsys.readouterr()
    assert "of 1 mm" in captured.out
    assert "from 9 of 10 frames" in captured.out
    assert len(captured.out.splitlines()) == 1
    found = read_volume("out.nrrd")
    arguments = ["--sequence", "sweep.igs.mha", "--mask", "mask.png", "--spacing", "1", "--output", "given.nrrd"]
    assert main(["reconstruct", *arguments]) == 0
    given = read_volume("given.nrrd")
    assert np.count_nonzero(given.array) >= np.count_nonzero(found.array) > 0.8 * np.count_nonzero(given.array)
    assert {path.name for path in set(folder.iterdir()) - before} == {"out.nrrd", "given.nrrd"}


def test_preprocess(folder, capsys):
    arguments = ["--volume", "volume.mha", "--spacing", "0.5", "--size", "50", "60", "20", "--output", "out.mha"]
    assert main(["preprocess", *arguments]) == 0
    volume = read_volume("out.mha")
    assert volume.size == (50, 60, 20)
    assert volume.array.max() <= 1
    assert "50x60x20 voxels of 0.5 mm" in capsys.readouterr().out


def test_evaluate(folder, capsys):
    arguments = [
        "--reference",
        "sweep.igs.mha",
        "--results",
        "lncc.csv",
        "--start",
        "sweep.igs.mha",
        "--output",
        "report",
    ]
    assert main(["evaluate", *arguments]) == 0
    output = capsys.readouterr().out
    assert "before registration" in output
    assert "lncc" in output
    assert "9/9" in output
    assert "report/index.html" in output
    assert (folder / "report" / "index.html").is_file()


def test_evaluate_tells_files_of_one_name_apart(folder):
    (folder / "other").mkdir()
    (folder / "lncc.csv").rename(folder / "other" / "lncc.csv")
    (folder / "lncc.csv").write_bytes((folder / "other" / "lncc.csv").read_bytes())
    assert (
        main(["evaluate", "--reference", "sweep.igs.mha", "--results", "lncc.csv", "other/lncc.csv", "--output", "r"])
        == 0
    )
    assert "| other/lncc |" in (folder / "r" / "table1.md").read_text()


RECONSTRUCT = {"--sequence": "sweep.igs.mha", "--spacing": "1", "--output": "out.mha"}
PREPROCESS = {"--volume": "volume.mha", "--output": "out.mha"}
EVALUATE = {"--reference": "sweep.igs.mha", "--results": "lncc.csv", "--output": "out"}


@pytest.mark.parametrize(
    ("subcommand", "arguments", "changes", "fault"),
    [
        ("reconstruct", RECONSTRUCT, {"--sequence": "none.igs.mha"}, "none.igs.mha: no such file"),
        ("reconstruct", RECONSTRUCT, {"--sequence": "volume.mha"}, "has no ImageToWorldTransform"),
        ("reconstruct", RECONSTRUCT, {"--sequence": "truncated.igs.mha"}, "truncated.igs.mha: truncated"),
        (
            "reconstruct",
            RECONSTRUCT,
            {"--sequence": "nan.igs.mha"},
            "nan.igs.mha: frame 0: its ImageToWorldTransform holds",
        ),
        ("reconstruct", RECONSTRUCT, {"--sequence": "invalid.igs.mha"}, "none of its 10 frames is valid"),
        ("reconstruct", RECONSTRUCT, {"--mask": "small.png"}, "small.png: the mask has 16x12 pixels"),
        ("reconstruct", RECONSTRUCT, {"--mask": "none.png"}, "none.png: no such file"),
        ("reconstruct", RECONSTRUCT, {"--spacing": "-1"}, "spacing: must be a positive"),
        ("reconstruct", RECONSTRUCT, {"--spacing": "wide"}, "argument --spacing: invalid float value"),
        ("reconstruct", RECONSTRUCT, {"--output": "out.xyz"}, "out.xyz: a volume is written as"),
        ("reconstruct", RECONSTRUCT, {"--output": "nowhere/out.mha"}, "does not exist"),
        ("reconstruct", RECONSTRUCT, {"--output": None}, "required: --output"),
        ("preprocess", PREPROCESS, {"--volume": "mask.png"}, "mask.png: "),
        ("preprocess", PREPROCESS, {"--volume": "truncated.mha"}, "truncated.mha: truncated"),
        ("preprocess", PREPROCESS, {"--spacing": "0"}, "spacing: must be a positive"),
        ("evaluate", EVALUATE, {"--reference": "volume.mha"}, "volume.mha: has no ImageToWorldTransform"),
        ("evaluate", EVALUATE, {"--results": "none.csv"}, "none.csv: no such file"),
        ("evaluate", EVALUATE, {"--results": "nan.csv"}, "nan.csv: line 2: its matrix holds NaN"),
        ("evaluate", EVALUATE, {"--results": "mask.png"}, "mask.png: is not a CSV file"),
        ("evaluate", EVALUATE, {"--output": "lncc.csv"}, "lncc.csv: is a file"),
        ("evaluate", EVALUATE, {"--start": "none.igs.mha"}, "none.igs.mha: no such file"),
    ],
)
def test_bad_input_is_one_clear_line_and_leaves_nothing(folder, capfd, subcommand, arguments, changes, fault):
    for name in ("sweep.igs.mha", "volume.mha"):
        content = (folder / name).read_bytes()
        (folder / name.replace(name.partition(".")[0], "truncated")).write_bytes(content[: len(content) // 2])
    sweep = (folder / "sweep.igs.mha").read_bytes()
    (folder / "nan.igs.mha").write_bytes(sweep.replace(b"Transform = 0.5", b"Transform = nan"))
    (folder / "invalid.igs.mha").write_bytes(sweep.replace(b"Status = OK", b"Status = INVALID"))
    (folder / "nan.csv").write_text((folder / "lncc.csv").read_text().replace("0.5", "nan"))
    before = sorted(folder.rglob("*"))
    words = [word for pair in {**arguments, **changes}.items() if pair[1] is not None for word in pair]
    assert main([subcommand, *words]) == 2
    line = one_line(capfd)
    assert line.startswith(f"deeprs2v {subcommand}: error: ")
    assert fault in line
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("argv", [[], ["fly"], ["--fast"]])
def test_a_wrong_command_line_is_one_line(capsys, argv):
    assert main(argv) == 2
    assert one_line(capsys).startswith("deeprs2v: error: ")


@pytest.mark.parametrize(
    ("fault", "status", "line"),
    [
        (OSError(28, "No space left on device", "out.mha"), 2, "error: out.mha: No space left on device"),
        (MemoryError(), 2, "error: not enough memory for this input"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_what_stops_a_run_is_one_line(folder, monkeypatch, capsys, fault, status, line):
    def stop(*_):
        raise fault

    monkeypatch.setattr("deeprs2v_ros.cli.reconstruct.write_volume", stop)
    assert main(["reconstruct", "--sequence", "sweep.igs.mha", "--spacing", "2", "--output", "out.mha"]) == status
    assert line in one_line(capsys)


def test_help_names_every_subcommand_without_importing_any(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert set(SUBCOMMANDS) <= {line.split()[0] for line in text.splitlines() if line.strip()}
    program = (
        "import sys; from deeprs2v_ros.cli.main import main; main(['--help']); print('loaded', sorted(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = result.stdout.partition("loaded")[2]
    assert "'argparse'" in loaded
    assert not any(f"'{name}'" in loaded for name in ("numpy", "SimpleITK", "matplotlib", "numba"))


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_every_subcommand_has_help(capsys, name):
    assert main([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: deeprs2v {name} [-h]")
