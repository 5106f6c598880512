"""The arm's forward kinematics against the written-out model, the logged poses, and faults of URDF files."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from deeprs2v_ros.arm.chain import Chain
from deeprs2v_ros.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
URDF = ROOT / "urdf" / "liver_arm.urdf"
STAND = Rotation.from_euler("x", -90, degrees=True).as_matrix()


@pytest.fixture(scope="module")
def chain():
    return Chain.from_urdf(URDF)


def random_joints(chain, rng):
    limits = [(chain.joints[name].lower, chain.joints[name].upper) for name in chain.joint_names]
    return {name: float(rng.uniform(*limit)) for name, limit in zip(chain.joint_names, limits, strict=True)}


def model(t1, t2, t3, t4, t5, t6, t7):
    """Pose of l7 in the arm's base by chaining rotations and offsets, nominal lengths."""
    at, turned = np.zeros(3), Rotation.identity()
    for angles, offset in [
        (("y", t1), (254, 0, 0)),
        (("y", t2), (64.04, 0, 0)),
        (None, (254 * np.cos(t3), 254 * np.sin(t3), 0)),
        (("y", t4), (135.7122, 0, 0)),
        (("x", -t5), (0, 0, 0)),
        (("z", t6), (0, 355.4, 0)),
        (("y", -t7), (0, 0, 0)),
    ]:
        if angles is not None:
            turned = turned * Rotation.from_euler(*angles)
        at = at + turned.apply(offset)
    return turned.as_matrix(), at


def test_the_tip_is_where_the_written_out_model_puts_it(chain):
    rng = np.random.default_rng(0)
    for _ in range(50):
        joints = random_joints(chain, rng)
        rotation, position = model(*(joints[f"j{number}"] for number in range(1, 8)))
        base_from_tip = chain.base_from("l7", joints)
        np.testing.assert_allclose(base_from_tip[:3, :3], STAND @ rotation, atol=1e-12)
        np.testing.assert_allclose(base_from_tip[:3, 3], STAND @ position, atol=1e-9)


def test_the_scanner_slides_along_z_and_tilts_about_the_face(chain):
    joints = random_joints(chain, np.random.default_rng(1)) | {"translate": 12.5, "tilt": np.radians(20)}
    frames = chain.forward(joints)
    tip_from_probe = np.linalg.solve(frames["l7"], frames["us_probe"])
    np.testing.assert_allclose(tip_from_probe[:3, 3], [0, 0, 12.5], atol=1e-9)
    expected = Rotation.from_euler("x", 20, degrees=True).as_matrix()
    np.testing.assert_allclose(tip_from_probe[:3, :3], expected, atol=1e-12)


@pytest.mark.parametrize("name", ["20210519_full_workspace", "20210512_J3"])
def test_the_logged_forward_kinematics_is_reproduced(shared, chain, name):
    with (shared / "arm" / f"{name}.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 100
    worst = 0.0
    for row in rows:
        joints = {f"j{number}": np.radians(float(row[f"q{number}"])) for number in range(1, 8)}
        logged = np.array([[float(row[f"T_base_end_log_{i}{j}"]) for j in range(4)] for i in range(3)])
        base_from_tip = chain.base_from("l7", joints | {"translate": 0.0, "tilt": 0.0})
        np.testing.assert_allclose(STAND.T @ base_from_tip[:3, :3], logged[:, :3], atol=1e-6)
        worst = max(worst, np.linalg.norm(STAND.T @ base_from_tip[:3, 3] - logged[:, 3]))
    assert worst < 1e-3


def test_the_parallelogram_moves_without_turning(chain):
    joints = random_joints(chain, np.random.default_rng(2))
    low, high = (chain.base_from("l3m", joints | {"j3": angle}) for angle in (-0.3, 0.5))
    np.testing.assert_allclose(low[:3, :3], high[:3, :3], atol=1e-14)
    assert np.linalg.norm(high[:3, 3] - low[:3, 3]) == pytest.approx(2 * 254 * np.sin(0.4), abs=1e-9)
    # and the second bar stays parallel to the first
    frames = chain.forward(joints)
    np.testing.assert_allclose(frames["l3"][:3, :3], frames["l3_rod"][:3, :3], atol=1e-14)


def test_transforms_for_tf_make_up_the_forward_kinematics(chain):
    joints = random_joints(chain, np.random.default_rng(3))
    moving, fixed = chain.moving_transforms(joints), chain.fixed_transforms()
    assert {child for _, child, _ in fixed} == {"arm_base", "us_image"}
    assert {child for _, child, _ in moving} | {"arm_base", "us_image", "base_link"} == set(chain.links)
    frames = chain.forward(joints)
    for parent, child, parent_from_child in [*moving, *fixed]:
        np.testing.assert_allclose(frames[parent] @ parent_from_child, frames[child], atol=1e-9)


def test_jacobian_agrees_with_differences(chain):
    joints = random_joints(chain, np.random.default_rng(4))
    pose, jacobian = chain.jacobian("us_image", joints, chain.joint_names)
    np.testing.assert_array_equal(pose, chain.base_from("us_image", joints))
    for column, name in enumerate(chain.joint_names):
        ahead, behind = (chain.base_from("us_image", joints | {name: joints[name] + h}) for h in (1e-5, -1e-5))
        velocity = (ahead[:3, 3] - behind[:3, 3]) / 2e-5
        turn = Rotation.from_matrix(ahead[:3, :3] @ behind[:3, :3].T).as_rotvec() / 2e-5
        np.testing.assert_allclose(jacobian[:, column], [*velocity, *turn], atol=1e-5)


def test_a_fixed_joint_can_be_replaced_and_a_moving_one_cannot(chain):
    shifted = np.eye(4)
    shifted[:3, 3] = [1.0, 2.0, 3.0]
    other = chain.with_fixed("image", shifted)
    joints = random_joints(chain, np.random.default_rng(5))
    np.testing.assert_allclose(
        other.base_from("us_image", joints), chain.base_from("us_probe", joints) @ shifted, atol=1e-9
    )
    with pytest.raises(InputError, match="has no fixed joint j1"):
        chain.with_fixed("j1", shifted)


def test_joint_values_that_are_missing_or_not_finite_are_named(chain):
    joints = random_joints(chain, np.random.default_rng(6))
    with pytest.raises(InputError, match=r"liver_arm\.urdf: the value of joint j4 is nan"):
        chain.forward(joints | {"j4": float("nan")})
    del joints["j6"]
    with pytest.raises(InputError, match=r"liver_arm\.urdf: no value for joint j6"):
        chain.forward(joints)


def test_unknown_links_and_joints_are_named(chain):
    joints = random_joints(chain, np.random.default_rng(7))
    with pytest.raises(InputError, match=r"liver_arm\.urdf: has no link hand"):
        chain.base_from("hand", joints)
    with pytest.raises(InputError, match="has no joint j3m that moves on its own"):
        chain.jacobian("us_image", joints, ["j3m"])


FAULTS = {
    "cut off": (r"(?s)<link name=\"us_image\".*", "", "not an XML file"),
    "not a robot": (r"<(/?)robot", r"<\1arm", "the outermost element is <arm>"),
    "parent unknown": (
        r'<parent link="l4"/>',
        '<parent link="l9"/>',
        "joint j5 has the parent link l9, which does not",
    ),
    "no child": (r'<child link="l5"/>', "", "joint j5: has no <child>"),
    "two parents": (r'<child link="l5"/>', '<child link="l4"/>', "joint j5 has the child l4, which already has a"),
    "loop": (r'<parent link="l4"/>', '<parent link="us_image"/>', "joint j5 is part of a loop"),
    "two roots": (r'<child link="arm_base"/>', '<child link="l0"/>', "links arm_base and base_link have no parent"),
    "loose link": (r"</robot>", '<link name="hook"/></robot>', "link hook hangs on no joint"),
    "same name": (r'joint name="j6"', 'joint name="j5"', "joint j5 is there twice"),
    "type": (r'name="j1" type="revolute"', 'name="j1" type="planar"', "joint j1: type 'planar' is not one of"),
    "number": (r'xyz="0.254 0 0"', 'xyz="0.254 0 up"', "<origin> xyz is 'up', not a number"),
    "two numbers": (r'xyz="0.1357122 0 0"', 'xyz="0.1 0"', "joint j5: <origin> xyz has 2 numbers, not 3"),
    "axis": (r'axis xyz="-1 0 0"', 'axis xyz="0 0 0"', "joint j5: the axis has length zero"),
    "limits": (r'lower="-1.1345"', 'lower="1.2"', "joint j5: the limits are impossible"),
    "no velocity": (r'(upper="1.1345") velocity="7.0"', r"\1", "joint j5: <limit> velocity is None, not a number"),
    "mimics nothing": (
        r'<mimic joint="j3" multiplier="-1"',
        '<mimic joint="j8"',
        "joint j3m mimics j8, which does not",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_urdf_is_refused_by_name(tmp_path, fault):
    pattern, replacement, message = FAULTS[fault]
    text, count = re.subn(pattern, replacement, URDF.read_text())
    assert count
    if fault == "two roots":
        text = text.replace("</robot>", '<link name="l0"/></robot>')
    path = tmp_path / "arm.urdf"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        Chain.from_urdf(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_urdf_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"none\.urdf: cannot be read"):
        Chain.from_urdf(tmp_path / "none.urdf")
