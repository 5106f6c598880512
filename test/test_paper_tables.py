"""The command that makes the paper's tables, on clips of a phantom."""

import importlib.util
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from phantoms import CENTRE, IMAGE_FROM_PIXEL, cut_frame, fan, middle_pose, phantom

from deeprs2v_ros.evaluation.landmarks import COLUMNS
from deeprs2v_ros.evaluation.poses import read_poses
from deeprs2v_ros.geometry import apply
from deeprs2v_ros.imaging.sequence import Sequence, write_sequence
from deeprs2v_ros.imaging.volume import write_volume

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "paper_tables.py"
MOTIONS = [(0, 0, 0, 0, 0, 0), (3, -2, 5, 3, 0, 4), (-4, 1, -6, -2, 3, 0)]


@pytest.fixture(scope="module")
def paper_tables():
    specification = importlib.util.spec_from_file_location("paper_tables", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    sys.modules["paper_tables"] = module
    specification.loader.exec_module(module)
    yield module
    del sys.modules["paper_tables"]


@pytest.fixture(scope="module")
def subjects(tmp_path_factory):
    """A folder with one subject of two clips, the first one with landmarks."""
    folder = tmp_path_factory.mktemp("subjects") / "7"
    folder.mkdir()
    volume = phantom("spheres")
    write_volume(folder / "volume.mha", volume)
    for name, noise in (("other", 0.3), ("same", 0.1)):
        poses = [middle_pose(volume, motion) for motion in MOTIONS]
        frames = np.stack([cut_frame(volume, pose, seed, noise) for seed, pose in enumerate(poses)])
        clip = Sequence(frames, np.array([p @ IMAGE_FROM_PIXEL for p in poses]), np.arange(3) / 10, np.ones(3, bool))
        write_sequence(folder / f"{name}.igs.mha", clip)
        cv2.imwrite(str(folder / f"{name}.png"), fan().astype(np.uint8) * 255)
    rows = [",".join(map(str, (frame, *CENTRE, *apply(pose, CENTRE)))) for frame, pose in enumerate(poses)]
    (folder / "same.landmarks.csv").write_text("\n".join([",".join(COLUMNS), *rows, ""]))
    return folder.parent


@pytest.fixture(scope="module")
def made(paper_tables, subjects, tmp_path_factory):
    """A report at two scales, and the options that made it."""
    output = tmp_path_factory.mktemp("report") / "report"
    options = ["--subjects", str(subjects), "--methods", "lncc", "--frames", "2", "--output", str(output)]
    output.parent.mkdir(exist_ok=True)
    assert paper_tables.main(options) == 0
    return output, options


def cells(path):
    return [line.split(",") for line in path.read_text().splitlines()]


def test_everything_is_in_one_folder(made):
    output, _ = made
    names = {path.name for path in output.iterdir()}
    for scale in ("x1", "x2"):
        for stem in ("table1", "table2", "runtime", "reliability"):
            assert {f"{stem}_{scale}.csv", f"{stem}_{scale}.md"} <= names
        assert {f"cdf_{scale}.png", f"cdf_clips_{scale}.png", f"per_frame_{scale}.csv"} <= names
    assert {"index.html", "capture.png", "capture.csv", "capture.md", "confidence.png", "confidence.csv"} <= names
    page = (output / "index.html").read_text()
    for text in ("before registration", "7-other", "7-same", "Table 1", "Table 2", "Table 3", "Fig. 7", "core"):
        assert text in page


def test_the_first_row_is_before_registration_and_lncc_brings_frames_home(made):
    output, _ = made
    header, before, lncc = cells(output / "table1_x1.csv")
    column = header.index("Euclidean (mm)")
    assert before[0] == "before registration"
    assert float(before[column].split()[0]) > 3.0
    assert float(lncc[column].split()[0]) < 0.5
    assert lncc[-1] == "4/4"  # 2 frames of each of 2 clips


def test_table_2_is_of_the_clip_with_landmarks(made):
    header, before, lncc, truth = cells(made[0] / "table2_x1.csv")
    assert header == ["method", '"TRE (mm)', ' n 2"', '"7-same', ' n 2"']
    assert float(before[1].split()[0]) > 3.0
    assert float(lncc[1].split()[0]) < 0.5
    assert truth == ["true pose", "0.00 ± 0.00", "0.00 ± 0.00"]


def test_what_is_there_is_not_registered_again(paper_tables, made, monkeypatch):
    output, options = made
    poses = output / "poses" / "7-same" / "x2" / "lncc.csv"
    rows = read_poses(poses)
    calls = []
    register = paper_tables.register

    def counted(sequence, mask, volume, method, *rest, **options):
        calls.append(method)
        return register(sequence, mask, volume, method, *rest, **options)

    monkeypatch.setattr(paper_tables, "register", counted)
    poses.unlink()
    assert paper_tables.main(options) == 0
    assert calls == ["lncc"]
    again = read_poses(poses)
    np.testing.assert_array_equal([r.world_from_pixel for r in again], [r.world_from_pixel for r in rows])


def test_an_interrupted_run_keeps_what_it_has(paper_tables, subjects, tmp_path, monkeypatch):
    register = paper_tables.register

    def interrupted(sequence, mask, volume, method, *rest, **options):
        if (tmp_path / "r" / "poses" / "7-other" / "x1" / "lncc.csv").is_file():
            raise KeyboardInterrupt
        return register(sequence, mask, volume, method, *rest, **options)

    options = ["--subjects", str(subjects), "--methods", "lncc", "--frames", "1", "--output", str(tmp_path / "r")]
    monkeypatch.setattr(paper_tables, "register", interrupted)
    assert paper_tables.main(options) == 130
    assert [path.name for path in (tmp_path / "r").rglob("*.csv")] == ["lncc.csv"]
    assert not (tmp_path / "r" / "index.html").exists()
    monkeypatch.setattr(paper_tables, "register", register)
    assert paper_tables.main(options) == 0


def test_another_run_does_not_mix_with_this_one(paper_tables, made, capsys):
    _, options = made
    assert paper_tables.main([*options, "--seed", "5"]) == 2
    assert "holds poses of another run (seed: 0, not 5)" in capsys.readouterr().err


def test_faults_are_one_line(paper_tables, subjects, tmp_path, capsys):
    output = ["--output", str(tmp_path / "r")]
    for options, fault in (
        ([], "no clip is given"),
        (["--subjects", str(tmp_path)], "holds no subject's clip"),
        (["--clip", "a", "b"], "--clip a b: is not NAME VOLUME SEQUENCE MASK [LANDMARKS]"),
        (["--clip", "a", "none.mha", "none.igs.mha", "none.png"], "none.igs.mha: no such file"),
        (["--subjects", str(subjects), "--methods", "magic"], "'magic' is none of"),
    ):
        assert paper_tables.main([*options, *output]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("paper_tables: error: ")
        assert fault in error
        shutil.rmtree(tmp_path / "r", ignore_errors=True)
