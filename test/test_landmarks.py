import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from deeprs2v_ros.cli.main import main
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.evaluation.landmarks import COLUMNS, read_landmarks
from deeprs2v_ros.evaluation.poses import PoseRow, write_poses
from deeprs2v_ros.geometry import apply, from_motion, rigid
from deeprs2v_ros.imaging.sequence import Sequence, write_sequence

SHAPE = (40, 60)
SCALE = np.diag([0.5, 0.5, 1.0, 1.0])


def pose(frame):
    """world_from_image: planes 5 mm apart, tilted in space."""
    tilt = Rotation.from_euler("xyz", [20, -30, 50], degrees=True).as_matrix()
    return rigid(tilt, [10.0, -20.0, 30.0]) @ rigid(translation=[0, 0, 5.0 * frame])


@pytest.fixture
def clip():
    transforms = np.array([pose(frame) @ SCALE for frame in range(4)])
    return Sequence(np.zeros((4, *SHAPE), np.uint8), transforms, np.arange(4) / 10, np.ones(4, bool))


def write_csv(path, rows, columns=COLUMNS):
    path.write_text("\n".join(",".join(map(str, row)) for row in [columns, *rows]) + "\n")
    return path


def write_markups(path, points, **fields):
    markup = {"type": "Fiducial", "controlPoints": [{"label": f"F-{i}", **point} for i, point in enumerate(points)]}
    path.write_text(json.dumps({"@schema": "https://…/markups-schema-v1.0.3.json#", "markups": [markup | fields]}))
    return path


def test_tre_is_how_far_from_its_place_a_landmark_is_put(clip, tmp_path):
    shown = np.array([12.0, 8.0, 1.5])
    placed = apply(pose(2), shown) + np.array([0.3, 0.0, 0.4])  # deformation that no pose undoes
    path = write_csv(tmp_path / "l.csv", [(2, *shown, *placed), (0, 1, 2, 0, *apply(pose(0), [1, 2, 0]))])
    landmarks = read_landmarks(path, clip)
    np.testing.assert_allclose(landmarks.errors(2, clip.world_from_pixel[2]), [0.5], atol=1e-6)
    np.testing.assert_allclose(landmarks.errors(0, clip.world_from_pixel[0]), [0.0], atol=1e-6)
    assert landmarks.errors(1, clip.world_from_pixel[1]).size == 0
    off = from_motion([3.0, 0.0, -4.0, 0.0, 0.0, 0.0]) @ clip.world_from_pixel[0]
    np.testing.assert_allclose(landmarks.errors(0, off), [5.0], atol=1e-6)
    turned = pose(0) @ from_motion([0, 0, 0, 0, 0, np.pi / 2]) @ SCALE
    np.testing.assert_allclose(landmarks.errors(0, turned), [np.sqrt(10)], atol=1e-6)


def test_points_of_slicer_belong_to_the_frames_that_pass_near(clip, tmp_path):
    near_two = apply(pose(0), [10.0, 5.0, 2.5])  # 2.5 mm from frames 0 and 1
    near_one = apply(pose(3), [29.5, 19.5, -1.0])
    beside = apply(pose(3), [31.0, 5.0, 0.0])
    unset = {"position": [0, 0, 0], "positionStatus": "undefined"}
    points = [{"position": p.tolist()} for p in (near_two, near_one, beside)]
    landmarks = read_landmarks(write_markups(tmp_path / "p.mrk.json", [*points, unset]), clip)
    assert landmarks.frames.tolist() == [0, 1, 3]
    np.testing.assert_allclose(landmarks.shown, [[10, 5, 2.5], [10, 5, -2.5], [29.5, 19.5, -1]], atol=1e-9)
    for frame in (0, 1, 3):
        np.testing.assert_allclose(landmarks.errors(frame, clip.world_from_pixel[frame]), 0.0, atol=1e-9)


@pytest.mark.parametrize(
    ("fields", "from_lps"),
    [
        ({}, (1, 1, 1)),
        ({"coordinateSystem": "LPS"}, (1, 1, 1)),
        ({"coordinateSystem": "RAS"}, (-1, -1, 1)),
        ({"coordinateSystem": "RAS", "coordinateUnits": ["um", "UCUM", "micrometer"]}, (-1000, -1000, 1000)),
    ],
)
def test_coordinate_systems_and_units_of_slicer(clip, tmp_path, fields, from_lps):
    point = apply(pose(1), [10.0, 5.0, 0.0])
    path = write_markups(tmp_path / "p.mrk.json", [{"position": (point * from_lps).tolist()}], **fields)
    np.testing.assert_allclose(read_landmarks(path, clip).placed, [point])


def test_frames_that_are_not_valid_show_no_landmark(clip, tmp_path):
    clip.valid[1], clip.world_from_pixel[1] = False, np.nan
    point = {"position": apply(pose(0), [10.0, 5.0, 2.5]).tolist()}
    assert read_landmarks(write_markups(tmp_path / "p.mrk.json", [point]), clip).frames.tolist() == [0]


def test_faults_are_named(clip, tmp_path):
    def refused(path, fault):
        with pytest.raises(InputError, match=fault):
            read_landmarks(path, clip)

    refused(tmp_path / "none.csv", r"none\.csv: no such file")
    (tmp_path / "l.txt").write_text("")
    refused(tmp_path / "l.txt", r"l\.txt: landmarks are a \.csv or a Slicer \.mrk\.json")
    refused(write_csv(tmp_path / "a.csv", [(0, 1, 2, 3)], COLUMNS[:4]), r"a\.csv: has no column volume_x, volume_y")
    refused(write_csv(tmp_path / "b.csv", [(0, 1, 2, 3, 4, "x", 6)]), r"b\.csv: line 2: .* are not all numbers")
    refused(write_csv(tmp_path / "c.csv", [(0, 1, 2, 3, 4, "nan", 6)]), r"c\.csv: line 2: ")
    refused(write_csv(tmp_path / "d.csv", [(4, 1, 2, 3, 4, 5, 6)]), r"d\.csv: frame 4 is not one of the clip's 4")
    refused(write_csv(tmp_path / "e.csv", []), r"e\.csv: holds no landmark")
    (tmp_path / "f.mrk.json").write_text('{"markups": ')
    refused(tmp_path / "f.mrk.json", r"f\.mrk\.json: is not a Slicer markups file")
    (tmp_path / "g.mrk.json").write_text("[1, 2]")
    refused(tmp_path / "g.mrk.json", r"g\.mrk\.json: is not a Slicer markups file")
    point = [{"position": [1, 2, 3]}]
    refused(write_markups(tmp_path / "h.mrk.json", point, coordinateSystem="IJK"), r"h\.mrk\.json: coordinates in IJK")
    refused(write_markups(tmp_path / "i.mrk.json", [{"position": [1, None, 3]}]), r"i\.mrk\.json: point F-0: ")
    refused(write_markups(tmp_path / "j.mrk.json", [{"position": [9e3, 0, 0]}]), r"j\.mrk\.json: holds no landmark")


def test_evaluate_adds_table_2(clip, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_sequence("truth.igs.mha", clip)
    off = clip.world_from_pixel.copy()
    off[:, :3, 3] += [0.0, 3.0, 4.0]
    write_sequence("start.igs.mha", Sequence(clip.frames, off, clip.timestamps, clip.valid))
    rows = [PoseRow(i, 0.1 * i, "ACCEPTED", "", 0.9, 1.0, 30.0, t) for i, t in enumerate(clip.world_from_pixel)]
    write_poses("good.csv", rows)
    shown = np.array([12.0, 8.0, 0.0])
    write_csv(tmp_path / "l.csv", [(f, *shown, *(apply(pose(f), shown) + np.array([0.5, 0, 0]))) for f in range(4)])
    arguments = ["--reference", "truth.igs.mha", "--results", "good.csv", "--start", "start.igs.mha"]
    assert main(["evaluate", *arguments, "--landmarks", "l.csv", "--output", "report"]) == 0
    capsys.readouterr()
    table = (tmp_path / "report" / "table2.csv").read_text().splitlines()
    before = np.linalg.norm([0.5, -3.0, -4.0])
    assert table == [
        'method,"TRE (mm), n 4"',
        f"before registration,{before:.2f} ± 0.00",
        "good,0.50 ± 0.00",
        "true pose,0.50 ± 0.00",
    ]
    assert "Table 2" in (tmp_path / "report" / "index.html").read_text()
    assert main(["evaluate", *arguments, "--landmarks", "none.csv", "--output", "report"]) == 2
    assert capsys.readouterr().err.strip() == "deeprs2v evaluate: error: none.csv: no such file"
