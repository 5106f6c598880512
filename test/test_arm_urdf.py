"""The forward kinematics of both arms against another library that reads URDF files."""

from pathlib import Path

import numpy as np
import pytest

from deeprs2v_ros.arm.chain import Chain

kinpy = pytest.importorskip("kinpy", reason="needs kinpy, of the extra test")

URDF = Path(__file__).resolve().parents[1] / "urdf"


@pytest.mark.parametrize("name", ["liver_arm", "msk_arm"])
def test_every_link_is_where_another_library_puts_it(name):
    path = URDF / f"{name}.urdf"
    chain, other = Chain.from_urdf(path), kinpy.build_chain_from_urdf(path.read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(30):
        joints = {each: rng.uniform(chain.joints[each].lower, chain.joints[each].upper) for each in chain.joint_names}
        # the other library takes metres, and knows no joints that follow another one
        values = joints | {"j3m": -joints["j3"], "j3r": joints["j3"]}
        if "translate" in joints:
            values["translate"] = joints["translate"] / 1000.0
        expected = other.forward_kinematics(values)
        assert set(expected) == set(chain.links)
        for link, base_from_link in chain.forward(joints).items():
            base_from_link[:3, 3] /= 1000.0
            np.testing.assert_allclose(base_from_link, expected[link].matrix(), rtol=0, atol=1e-9)
