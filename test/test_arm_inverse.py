"""Inverse kinematics undoes forward kinematics, and the arm can be stood beside a set of poses."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from deeprs2v_ros.arm.description import read_arm
from deeprs2v_ros.arm.inverse import FREE_JOINTS, UnreachableError, solve
from deeprs2v_ros.arm.mounting import mount_for
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import from_motion, geodesic_distance, rigid, split_pixel_transform

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def arm():
    return read_arm(ROOT / "config" / "arm" / "liver.yaml")


def random_posture(arm, rng, spread):
    """The rest posture with the free joints moved at random by up to ``spread`` rad."""
    return arm.rest | {name: arm.rest[name] + float(rng.uniform(-spread, spread)) for name in FREE_JOINTS}


def test_joints_are_found_from_where_the_arm_was_before(arm):
    rng = np.random.default_rng(0)
    for _ in range(50):
        wanted = random_posture(arm, rng, 0.5)
        start = wanted | {name: wanted[name] + float(rng.uniform(-0.03, 0.03)) for name in FREE_JOINTS}
        found = solve(arm.chain, arm.chain.base_from("us_image", wanted), start)
        assert max(abs(found[name] - wanted[name]) for name in wanted) < 1e-9


def test_poses_are_reached_from_rest(arm):
    rng = np.random.default_rng(1)
    for _ in range(50):
        base_from_image = arm.chain.base_from("us_image", random_posture(arm, rng, 0.5))
        found = solve(arm.chain, base_from_image, arm.rest)
        reached = arm.chain.base_from("us_image", found)
        assert np.linalg.norm(reached[:3, 3] - base_from_image[:3, 3]) < 1e-6
        assert geodesic_distance(reached[:3, :3], base_from_image[:3, :3]) < 1e-9
        for name in FREE_JOINTS:
            assert arm.chain.joints[name].lower <= found[name] <= arm.chain.joints[name].upper
        assert [found[name] for name in ("j4", "tilt", "translate")] == [
            arm.rest[name] for name in ("j4", "tilt", "translate")
        ]


def test_the_locked_joint_and_the_scanner_stay_and_others_may_be_freed(arm):
    wanted = arm.rest | {"tilt": 0.2, "translate": 10.0}
    free = ("tilt", "translate")
    found = solve(arm.chain, arm.chain.base_from("us_probe", wanted), arm.rest, link="us_probe", free=free)
    assert found["tilt"] == pytest.approx(0.2, abs=1e-9)
    assert found["translate"] == pytest.approx(10.0, abs=1e-6)
    assert {name: found[name] for name in FREE_JOINTS} == {name: arm.rest[name] for name in FREE_JOINTS}


def test_a_pose_out_of_reach_is_refused_with_what_is_left(arm):
    far = arm.chain.base_from("us_image", arm.rest)
    far[0, 3] += 2000.0
    with pytest.raises(UnreachableError, match="us_image cannot be brought there") as caught:
        solve(arm.chain, far, arm.rest)
    assert caught.value.residual > 100.0


def test_limits_are_kept_and_named(arm):
    """Only joint 3 may move, and the pose lies 5 degrees beyond its limit."""
    beyond = arm.chain.base_from("l3", arm.rest | {"j3": arm.chain.joints["j3"].upper + np.radians(5)})
    with pytest.raises(UnreachableError, match="j3 at the limit") as caught:
        solve(arm.chain, beyond, arm.rest, link="l3", free=["j3"])
    assert caught.value.residual == pytest.approx(100 * np.radians(5), rel=1e-3)


def test_unknown_links_are_refused(arm):
    with pytest.raises(InputError, match="has no link hand"):
        solve(arm.chain, np.eye(4), arm.rest, link="hand")


def test_counts_of_a_path_give_its_poses_back_to_what_the_encoders_resolve(arm):
    """Poses to joints to counts to joints to poses: the loss is that of 12 bits, a third of a millimetre."""
    rng = np.random.default_rng(2)
    errors = []
    for _ in range(60):
        base_from_image = arm.chain.base_from("us_image", random_posture(arm, rng, 0.3))
        counts = arm.encoders.counts(solve(arm.chain, base_from_image, arm.rest))
        back = arm.chain.base_from("us_image", arm.encoders.joints(counts))
        errors.append(np.linalg.norm(back[:3, 3] - base_from_image[:3, 3]))
    assert 0.1 < np.mean(errors) < 0.6


def scanning_poses(rng, number):
    """Poses within 40 mm and 20 degrees of one that has no relation to the arm."""
    nominal = rigid(Rotation.random(random_state=7).as_matrix(), [300.0, -50.0, 800.0])
    moves = np.hstack([rng.uniform(-40, 40, (number, 3)), np.radians(rng.uniform(-20, 20, (number, 3)))])
    return np.array([nominal @ from_motion(move) for move in moves])


def test_the_arm_is_stood_so_that_a_scan_is_within_reach(arm):
    poses = scanning_poses(np.random.default_rng(3), 40)
    base_from_world = mount_for(poses, arm.chain, arm.rest, room=5.0)
    np.testing.assert_allclose(base_from_world[:3, :3] @ base_from_world[:3, :3].T, np.eye(3), atol=1e-12)
    # the image's depth points down to the table
    assert (base_from_world @ poses)[:, 2, 1].max() < -0.8


@pytest.mark.parametrize("name", ["liver_sweep", "synthetic_sweeps"])
def test_recorded_sweeps_are_within_reach_with_room_to_breathe(shared, arm, name):
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(shared / name / "frames.igs.mha"))
    reader.ReadImageInformation()
    columns, rows, frames = reader.GetSize()
    keys = [f"Seq_Frame{number:04d}_ImageToWorldTransform" for number in range(frames)]
    world_from_pixels = [np.array(reader.GetMetaData(key).split(), dtype=float).reshape(4, 4) for key in keys]
    world_from_images, image_from_pixels = zip(*map(split_pixel_transform, world_from_pixels), strict=True)
    held = arm.holding((rows, columns), image_from_pixels[0])
    base_from_world = mount_for(np.array(world_from_images), held.chain, held.rest, margin=np.radians(5.0))
    joints = held.rest
    for world_from_image in world_from_images:
        joints = solve(held.chain, base_from_world @ world_from_image, joints)
        np.testing.assert_allclose(
            held.chain.base_from("us_image", joints), base_from_world @ world_from_image, rtol=0, atol=1e-6
        )


def test_poses_too_far_apart_are_refused_by_number(arm):
    poses = np.array([np.eye(4), rigid(translation=[1500.0, 0.0, 0.0]), np.eye(4)])
    with pytest.raises(UnreachableError, match=r"^pose \d displaced by .* mm: us_image cannot be brought there"):
        mount_for(poses, arm.chain, arm.rest)
    with pytest.raises(UnreachableError, match=r"^pose 0 brings j\d within .* degrees of its limit"):
        mount_for(poses[:1], arm.chain, arm.rest, margin=np.radians(60.0))
