"""Misspelt names and sections that reach nobody are refused in one line, with the nearest right name."""

import pytest

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.parameters.arguments import check_arguments
from deeprs2v_ros.parameters.file import read_parameters
from deeprs2v_ros.parameters.spelling import check_spelling
from deeprs2v_ros.resources import resource


@pytest.fixture
def written(tmp_path):
    def write(*sections, name="my.yaml"):
        """A file of sections, each a node and a line of parameters."""
        path = tmp_path / name
        path.write_text("".join(f"{node}:\n  ros__parameters:\n    {line}\n" for node, line in sections))
        return path

    return write


def refusal(path, namespace=None):
    with pytest.raises(InputError) as refused:
        check_spelling(read_parameters(path), namespace)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)
    return str(refused.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("node", "line", "said"),
    [
        ("/**/registration", "metod: lncc", "registration has no parameter metod: did you mean method?"),
        ("registration", "gate.minimum_lnc: 0.1", "did you mean gate.minimum_lncc?"),
        (
            "registration",
            "trust: {hold_timout: 0.1}",
            "trust.hold_timout: did you mean trust.hold_timeout?",
        ),
        ("/**/registration", "tf_rate: 50.0", "registration has no parameter tf_rate"),
        ("/**/arm_encoders", "serial.prot: /dev/ttyUSB0", "did you mean serial.port?"),
        ("/cart1/target_monitor", "transform_dead_line: 0.1", "did you mean transform_deadline?"),
        (
            "/**",
            "image.pixelsize: [0.1, 0.1]",
            "no node has a parameter image.pixelsize: did you mean image.pixel_s",
        ),
        ("/**", "use_simtime: true", "did you mean use_sim_time?"),
        ("registraton", "method: lncc", "there is no node registraton: did you mean registration?"),
        ("/**/Registration", "method: lncc", "there is no node Registration: did you mean registration?"),
        ("/**/volume-server", "volume: v.mha", "there is no node volume-server: did you mean volume_server?"),
        ("/cart1/arm_encoder", "rate: 1.0", "did you mean arm_encoders?"),
        ("usb_cam", "device: 3", "is for none of the nodes arm_encoders"),
    ],
)
def test_slips_are_refused_with_the_nearest_right_name(written, node, line, said):
    assert said in refusal(written((node, line)))


def test_what_is_there_for_another_day_or_another_program_is_let_be(written):
    path = written(
        ("/**", "{use_sim_time: false, qos_overrides./tf.publisher.depth: 3}"),
        ("/**/arm_encoders", "{source: log, serial.port: /dev/ttyUSB0}"),
        ("encoder_board", "{prot: 3, metod: 4}"),
        ("/cart2/usb_cam", "device: 3"),
    )
    check_spelling(read_parameters(path), "/cart1")


@pytest.mark.parametrize("name", ["cart", "replay", "simulator"])
@pytest.mark.parametrize("namespace", ["/", "/cart1", "/ward/cart1"])
def test_the_files_of_the_package_reach_the_nodes_in_any_namespace(name, namespace):
    check_spelling(read_parameters(resource(f"config/{name}.yaml")), namespace)


@pytest.mark.parametrize(
    ("pattern", "reached"),
    [
        ("registration", ["/"]),
        ("/registration", ["/"]),
        ("/**/registration", ["/", "/cart1", "/ward/cart1"]),
        ("/*/registration", ["/cart1"]),
        ("cart1/registration", ["/cart1"]),
        ("/ward/**/registration", ["/ward/cart1"]),
    ],
)
def test_a_section_for_a_node_elsewhere_is_refused(written, pattern, reached):
    path = written((pattern, "method: lncc"))
    for namespace in ("/", "/cart1", "/ward/cart1"):
        if namespace in reached:
            check_spelling(read_parameters(path), namespace)
        else:
            place = f"{namespace.rstrip('/')}/registration"
            assert refusal(path, namespace) == f"{pattern} is not {place}; write /**/registration"


def test_two_carts_may_share_a_file(written):
    path = written(("/cart1/registration", "method: lncc"), ("/cart2/registration", "method: lncc"))
    check_spelling(read_parameters(path), "/cart2")


def test_arguments_of_a_program(written):
    good, bad = written(("registration", "temporal: true")), written(("registraton", "temporal: true"), name="bad.yaml")
    check_arguments(["node", "--params-file", str(bad), "--ros-args", "--params-file", str(good), "-p", "method:=lncc"])
    for arguments, said in (
        (["--params-file", bad], "bad.yaml: there is no node registraton"),
        (["--params-file", good, "--params-file", bad], "bad.yaml"),
        (["-r", "__ns:=/cart1", "--params-file", good], "registration is not /cart1/registration"),
        (["--params-file", good.with_name("gone.yaml")], "gone.yaml: cannot be read"),
        (["-p", "metod:=lncc"], "-p metod:=lncc: no node has a parameter metod: did you mean method?"),
        (["-p", "registration:tf_rate:=1.0"], "registration has no parameter tf_rate"),
    ):
        with pytest.raises(InputError, match=said.replace("?", r"\?")):
            check_arguments(["node", "--ros-args", *map(str, arguments)])
