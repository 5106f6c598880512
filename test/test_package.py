"""What the package says of itself, held to what is in it."""

import ast
import re
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1]

# Import names whose distribution is called otherwise: (rosdep key, name on PyPI). No key: not in the rosdep database.
DISTRIBUTIONS = {
    "SimpleITK": (None, "SimpleITK"),
    "backports": (None, "backports"),  # backports.zstd
    "lz4": (None, "lz4"),
    "PIL": ("python3-pil", "pillow"),
    "cv2": ("python3-opencv", "opencv-python-headless"),
    "matplotlib": ("python3-matplotlib", "matplotlib"),
    "monai": (None, "monai"),
    "numba": ("python3-numba", "numba"),
    "numpy": ("python3-numpy", "numpy"),
    "rosbags": (None, "rosbags"),
    "safetensors": (None, "safetensors"),
    "scipy": ("python3-scipy", "scipy"),
    "serial": ("python3-serial", "pyserial"),
    "torch": (None, "torch"),
    "tqdm": ("python3-tqdm", "tqdm"),
    "vtkmodules": (None, "vtk"),
    "yaml": ("python3-yaml", "PyYAML"),
}


def third_party_imports(*folders):
    """Import name -> the files that import it, for all Python files in folders of the source."""
    found = {}
    for path in (path for folder in folders for path in (SOURCE / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            for name in {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"deeprs2v_ros"}:
                found.setdefault(name, set()).add(str(path.relative_to(SOURCE)))
    return found


@pytest.fixture(scope="module")
def package():
    parse_package = pytest.importorskip("catkin_pkg.package").parse_package
    return parse_package(str(SOURCE / "package.xml"))


@pytest.mark.parametrize("folder", [".", "underlay/cv_bridge", "underlay/tf2_msgs", "underlay/tf2_ros"])
def test_manifests_are_valid(folder):
    parse_package = pytest.importorskip("catkin_pkg.package").parse_package
    warnings = []
    package = parse_package(str(SOURCE / folder / "package.xml"), warnings=warnings)
    package.validate(warnings=warnings)
    assert warnings == []
    assert package.get_build_type() == "ament_cmake"


def test_every_import_is_a_dependency_in_package_xml(package):
    declared = {dependency.name for dependency in package.exec_depends}
    undeclared = {
        name: files
        for name, files in third_party_imports("deeprs2v_ros", "launch").items()
        if DISTRIBUTIONS.get(name, (name,))[0] not in {*declared, None}
    }
    assert undeclared == {}


def test_no_key_keeps_the_package_from_being_released(package):
    """Debian packages cannot depend on what pip installs."""
    assert [each.name for each in package.exec_depends if each.name.endswith("-pip")] == []


def test_messages_use_declared_packages(package):
    declared = {dependency.name for dependency in package.build_depends}
    used = {name for path in (SOURCE / "msg").glob("*.msg") for name in re.findall(r"^(\w+)/", path.read_text(), re.M)}
    assert used <= declared


def test_every_import_of_the_core_comes_with_pip():
    text = (SOURCE / "pyproject.toml").read_text()
    declared = set(re.findall(r'^    "([\w-]+)', text[text.index("dependencies = [") :], re.M))
    core = third_party_imports("deeprs2v_ros")
    for name, files in core.items():
        outside_nodes = {file for file in files if not file.startswith("deeprs2v_ros/nodes/")}
        if outside_nodes:
            assert name in DISTRIBUTIONS, f"{sorted(outside_nodes)} are core, which does not import {name}"
            assert DISTRIBUTIONS[name][1] in declared


def test_every_node_is_a_program_and_every_program_a_node():
    listed = re.search(r"foreach\(node ([\w\s]+)\)", (SOURCE / "CMakeLists.txt").read_text())[1].split()
    nodes = {
        path.stem
        for path in (SOURCE / "deeprs2v_ros/nodes").glob("*.py")
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in ast.parse(path.read_text()).body)
    }
    assert set(listed) == nodes
