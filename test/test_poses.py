import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.evaluation.poses import COLUMNS, PoseRow, read_poses, write_poses
from deeprs2v_ros.geometry import rigid


def poses(count):
    """Pixel transforms at random poses."""
    turns = Rotation.random(count, random_state=0).as_matrix()
    return np.array([rigid(turn, 7 * turn[0]) @ np.diag([0.3, 0.4, 1.0, 1.0]) for turn in turns])


def rows_of(transforms):
    return [PoseRow(i, i / 10, "ACCEPTED", "", 0.9, 0.95, 50.0, transform) for i, transform in enumerate(transforms)]


def test_poses_come_back(tmp_path):
    rows = rows_of(poses(3))
    rows[1] = PoseRow(1, 12.345678, "REJECTED", 'lncc 0.2, "low"', float("nan"), 0.0, 12.5, rows[1].world_from_pixel)
    write_poses(tmp_path / "POSES.csv", rows)
    back = read_poses(tmp_path / "POSES.csv")
    for ours, theirs in zip(rows, back, strict=True):
        np.testing.assert_allclose(theirs.world_from_pixel, ours.world_from_pixel, rtol=1e-11)
        assert (theirs.frame, theirs.timestamp, theirs.status) == (ours.frame, ours.timestamp, ours.status)
        assert (theirs.reason, theirs.overlap, theirs.runtime_ms) == (ours.reason, ours.overlap, ours.runtime_ms)
    assert np.isnan(back[1].lncc)
    header = (tmp_path / "POSES.csv").read_text().splitlines()[0]
    assert header == (
        "frame,timestamp,status,reason,lncc,overlap,runtime_ms,m00,m01,m02,m03,m10,m11,m12,m13,m20,m21,m22,m23"
    )


@pytest.mark.parametrize(
    ("column", "text", "fault"),
    [
        ("status", "MAYBE", "line 3: status 'MAYBE' is neither ACCEPTED nor REJECTED"),
        ("m11", "nan", "line 3: its matrix holds NaN"),
        ("m23", "inf", "line 3: its matrix holds NaN or inf"),
        ("m00", "", "line 3: m00 is not a number"),
        ("m03", "1e300", r"line 3: its matrix holds values beyond 1e\+06"),
        ("timestamp", "1e300", "line 3: its timestamp or runtime_ms"),
        ("frame", "9" * 5000, "line 3: frame is not a whole number"),
        ("timestamp", "nan", "line 3: its timestamp or runtime_ms is NaN"),
        ("runtime_ms", "fast", "line 3: runtime_ms is not a number"),
        ("frame", "1.5", "line 3: frame is not a whole number"),
        ("frame", "-1", "line 3: frame is not a whole number"),
    ],
)
def test_refused_pose(tmp_path, column, text, fault):
    path = tmp_path / "POSES.csv"
    write_poses(path, rows_of(poses(3)))
    lines = [line.split(",") for line in path.read_text().splitlines()]
    lines[2][COLUMNS.index(column)] = text
    path.write_text("\n".join(",".join(line) for line in lines))
    with pytest.raises(InputError, match=rf"POSES\.csv: {fault}"):
        read_poses(path)


def test_refused_pose_files(tmp_path):
    path = tmp_path / "POSES.csv"
    with pytest.raises(InputError, match=r"POSES\.csv: no such file"):
        read_poses(path)
    for text in ("", "frame,status\n0,ACCEPTED\n"):
        path.write_text(text)
        with pytest.raises(InputError, match=r"POSES\.csv: has no column .*m00"):
            read_poses(path)
    path.write_text(",".join(COLUMNS) + "\n")
    with pytest.raises(InputError, match=r"POSES\.csv: holds no frame"):
        read_poses(path)
    path.write_text(",".join(COLUMNS) + "\n0,0.1,ACCEPTED,\n")
    with pytest.raises(InputError, match=r"POSES\.csv: line 2: m00 is not a number"):
        read_poses(path)
    path.write_bytes(bytes(range(128, 256)))
    with pytest.raises(InputError, match=r"POSES\.csv: is not a CSV file"):
        read_poses(path)
    singular = rows_of(poses(1) @ np.diag([0.0, 1, 1, 1]))
    write_poses(path, singular)
    with pytest.raises(InputError, match="line 2: its matrix is singular"):
        read_poses(path)
