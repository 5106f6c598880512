"""ROS parameter files, read without ROS."""

import pytest

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.parameters import cart, guidance
from deeprs2v_ros.parameters.declaring import NUMBERS
from deeprs2v_ros.parameters.file import read_parameters
from deeprs2v_ros.registration.guidance import GuidanceSettings
from deeprs2v_ros.registration.methods import LIVE
from deeprs2v_ros.registration.preparation import Recipe


@pytest.fixture
def given(tmp_path):
    def make(text, node="registration"):
        path = tmp_path / "parameters.yaml"
        path.write_text(text)
        return read_parameters(path).of(node)

    return make


def test_without_a_file_everything_is_as_usual():
    nothing = read_parameters(None).of("registration")
    assert guidance.declare_recipe(nothing) == Recipe.usual(LIVE[0])
    assert guidance.declare_guidance(nothing) == GuidanceSettings()


@pytest.mark.parametrize("section", ["registration", "/registration", "/**/registration", "/cart/registration"])
def test_a_node_is_found_in_any_namespace(given, section):
    values = given(
        f"{section}:\n  ros__parameters:\n    gate.minimum_overlap: 0.5\n    trust: {{hold_timeout: 0.25}}\n"
    )
    assert guidance.declare_recipe(values).settings.gate.minimum_overlap == 0.5
    assert guidance.declare_guidance(values).trust.hold_timeout == 0.25


def test_namespaces_may_be_nested(given):
    values = given("cart:\n  registration:\n    ros__parameters:\n      temporal: false\n")
    assert guidance.declare_recipe(values).temporal is False


def test_what_is_for_all_nodes_and_for_others(given):
    values = given(
        "/**:\n  ros__parameters:\n    image_time_offset: 0.1\n    scene.seed: 4\n"
        "other:\n  ros__parameters:\n    image_time_offset: 0.7\n"
        "registration:\n  ros__parameters:\n    mask_frames: 3\n    use_sim_time: true\n"
    )
    guidance.declare_recipe(values)
    settings = guidance.declare_guidance(values)
    assert (settings.image_time_offset, settings.mask_frames) == (0.1, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gate.minimum_lncc: 1", r"parameters\.yaml: parameter gate\.minimum_lncc: is 1, not float.*decimal point"),
        ("temporal: 1", r"parameter temporal: is 1, not bool"),
        ("mask_frames: 2.0", r"parameter mask_frames: is 2\.0, not int"),
        ("method: magic", r"parameter method: is 'magic', not one of"),
        ("trust.hold_timeout: soon", r"parameter trust\.hold_timeout: is 'soon', not float"),
        ("image_time_offset: 9.0", r"image_time_offset: is 9\.0, not within 5"),
        ("future_tolerance: -1.0", r"future_tolerance: is -1\.0, not a positive number"),
    ],
)
def test_what_a_node_refuses_is_refused_by_name(given, text, message):
    values = given(f"registration:\n  ros__parameters:\n    {text}\n")
    with pytest.raises(InputError, match=message):
        (guidance.declare_recipe(values), guidance.declare_guidance(values))


def test_lists_of_numbers(given):
    values = given(
        "/**:\n  ros__parameters:\n    image.pixel_size: [0.5, 0.6]\n    image.face: []\n    arm_mount: [1, 2]\n"
    )
    images = cart.declare_images(values)
    assert images.pixel_size == (0.5, 0.6)
    assert images.face is None
    with pytest.raises(InputError, match=r"arm_mount: is \[1, 2\], not a list of doubles"):
        values("arm_mount", NUMBERS, "")


def test_equal_values_have_equal_digests(given):
    digests = []
    for value in ("0.5", "0.50", "0.6"):
        values = given(f"registration:\n  ros__parameters:\n    gate.minimum_lncc: {value}\n")
        guidance.declare_recipe(values)
        digests.append(values.digest())
    assert digests[0] == digests[1] != digests[2]


def test_a_later_section_takes_the_place_of_an_earlier_one_as_in_ros(given):
    values = given(
        "/**/registration:\n  ros__parameters:\n    mask_frames: 3\n/**:\n  ros__parameters:\n    mask_frames: 4\n"
    )
    assert guidance.declare_guidance(values).mask_frames == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "is no parameter file"),
        ("registration: 3", "registration: is no node"),
        ("registration:\n  ros__parameters: 3", "its ros__parameters are no names"),
        ("a: [", "not a YAML file"),
    ],
)
def test_what_is_no_parameter_file_is_refused_by_name(given, text, message):
    with pytest.raises(InputError, match=rf"parameters\.yaml.*{message}"):
        given(text)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"gone\.yaml: cannot be read"):
        read_parameters(tmp_path / "gone.yaml")
