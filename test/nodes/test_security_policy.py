"""The SROS2 policy allows exactly what the nodes publish, hear, answer and ask."""

from xml.etree import ElementTree

import pytest
import rclpy
from sensor_msgs.msg import Image
from test_parameter_files import CLASSES

from deeprs2v_ros.nodes.composed.cart import BESIDE, NODES
from deeprs2v_ros.resources import resource

POLICY = resource("config/sros2/policy.xml")
KINDS = {
    "publish": "get_publisher_names_and_types_by_node",
    "subscribe": "get_subscriber_names_and_types_by_node",
    "reply": "get_service_names_and_types_by_node",
    "request": "get_client_names_and_types_by_node",
}
AS_TOLD = {"subscribe": {"/clock"}}
"""What every node does only where it is told to."""


def profiles():
    return {profile.get("node"): profile for profile in ElementTree.parse(POLICY).iter("profile")}


def allowed(profile, kind):
    """Absolute names."""
    lists = [names for names in profile if names.get(kind) == "ALLOW"]
    names = [name.text for each in lists for name in each]
    assert len(names) == len(set(names))
    own = f"/{profile.get('node')}/"
    return {name if name.startswith("/") else "/" + name if name[0] != "~" else own + name[2:] for name in names}


def test_it_is_a_policy_with_a_profile_for_every_node():
    root = ElementTree.parse(POLICY).getroot()
    assert (root.tag, root.get("version")) == ("policy", "0.2.0")
    assert {each.tag for each in root.iter()} <= {
        *("policy", "enclaves", "enclave", "profiles", "profile", "topics", "topic", "services", "service")
    }
    assert {each.get(kind) for each in root.iter() for kind in KINDS} == {"ALLOW", None}
    assert {profile.get("ns") for profile in root.iter("profile")} == {"/"}
    assert profiles().keys() == NODES.keys() | BESIDE.keys() | {"transforms"}


@pytest.mark.parametrize("name", [*NODES, *BESIDE])
def test_a_node_may_do_what_it_does_and_nothing_else(ros, keep, spin_until, tmp_path, name):
    arguments = ["--ros-args", "--params-file", str(resource("config/simulator.yaml"))]
    for change in ("sweep_frames:=6", "spacing:=4.0", f"output:={tmp_path / 'volume.mha'}"):
        arguments += ["-p", f"volume_server:{change}"]
    node = keep(CLASSES[name](context=ros, cli_args=arguments))
    profile = profiles()[name]

    def does(kind):
        return {each for each, _ in getattr(node, KINDS[kind])(name, node.get_namespace())}

    if name == "guidance_view":  # which receives images only while somebody looks
        keep(rclpy.create_node("onlooker", context=ros)).create_subscription(Image, "view/panel", print, 1)
        spin_until(lambda: "/us/image" in does("subscribe"), node)
    spin_until(lambda: "/rosout" in does("publish"), node)
    for kind in KINDS:
        assert does(kind) == allowed(profile, kind) - AS_TOLD.get(kind, set()), kind
