"""What README.md and docs/ mention is there: files, links, subcommands, options, parameters, and every other name."""

import argparse
import importlib
import re
from functools import cache
from pathlib import Path

import pytest

from deeprs2v_ros.cli.main import SUBCOMMANDS
from deeprs2v_ros.parameters.names import NAMES
from deeprs2v_ros.registration.arrivals import Refusal
from deeprs2v_ros.registration.gate import Reason
from deeprs2v_ros.registration.guidance import CONTRADICTED
from deeprs2v_ros.registration.supervisor import CONFIRMING, LATE, State
from deeprs2v_ros.view.words import because

SOURCE = Path(__file__).resolve().parents[1]
DOCS = [SOURCE / "README.md", *sorted((SOURCE / "docs").glob("*.md"))]
PAGES = [*DOCS, SOURCE / "CONTRIBUTING.md"]
FOLDERS = "benchmarks cmake config deeprs2v_ros docs foxglove launch msg rviz scripts srv test underlay urdf"
SUFFIXES = (".py", ".md", ".msg", ".srv", ".yaml", ".json", ".xml", ".toml", ".in", ".cpp", ".jpg", ".rviz", ".urdf")

FOREIGN = {"dialout", "m00", "m23"}
"""Names of other programs, and columns that the code makes."""
MADE = (
    r"out/\S*|bag/|install/\S*|build/|[A-Z_]+\.\w+|"
    r"my_\w+\.yaml|index\.html|parameters\.yaml|summary\.json|volume_from_mri\.yaml"
)
"""Files that commands and users make."""

docs = pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@cache
def files():
    """All files and folders of the source, but not what is built or run."""
    top = [path for path in SOURCE.iterdir() if path.is_file() or path.name in FOLDERS.split()]
    return [*top, *(path for folder in top if folder.is_dir() for path in folder.rglob("*"))]


FILES = (".html", ".json", ".mha", ".nrrd", ".png", ".webp")


def without_code_blocks(text):
    return "\n".join(line for line in text.splitlines() if not line.startswith("    "))


def backticked(page):
    """What is in backticks, outside blocks of code."""
    return re.findall(r"`([^`\n]+)`", without_code_blocks(page.read_text()))


def anchor_of(heading):
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(page):
    return {anchor_of(line.lstrip("#").replace("`", "")) for line in page.read_text().splitlines() if line[:1] == "#"}


@cache
def words():
    """Every word of code, messages and parameter files."""
    found = set()
    for folder, pattern in (("deeprs2v_ros", "*.py"), ("config", "*.yaml"), ("launch", "*.py"), ("msg", "*.msg")):
        for path in (SOURCE / folder).rglob(pattern):
            found.update(re.findall(r"\w+", path.read_text()))
    return found


def parameters():
    """Names of all parameters."""
    return set().union(*NAMES.values())


def is_parameter(name):
    """Whether it is one, alone or behind the name of its node."""
    node, _, rest = name.partition(".")
    return name in parameters() or rest in NAMES.get(node, ())


@pages
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target}"
        assert file.is_relative_to(SOURCE)
        assert not anchor or anchor in anchors(file), f"{page.name}: {target}"


@pages
def test_files_in_backticks_exist(page):
    """A path with a folder from the top or the package, a bare name anywhere."""
    for text in backticked(page):
        name = text.partition(" ")[0]
        if not re.fullmatch(r"[\w./-]+", name) or not name.endswith((*SUFFIXES, "/")) or re.fullmatch(MADE, name):
            continue
        ends = ("/" + name).rstrip("/")
        assert any(str(path).endswith(ends) for path in files()), f"{page.name}: {text}"


@pages
def test_subcommands_and_options_exist(page):
    text = page.read_text().replace("\\\n", " ")
    for name, rest in re.findall(r"(?<![\w/.])deeprs2v ([a-z-]+)([^\n`]*)", text):
        if name not in SUBCOMMANDS:
            assert name == "--help", f"{page.name}: deeprs2v {name}"
            continue
        parser = argparse.ArgumentParser()
        importlib.import_module(f"deeprs2v_ros.cli.{name.replace('-', '_')}").add_arguments(parser)
        for option in re.findall(r"(?<!\S)\[?(--[a-z-]+)", rest.partition("#")[0]):
            assert option in parser.format_help(), f"{page.name}: deeprs2v {name} {option}"


@docs
def test_parameters_exist(page):
    for line in page.read_text().splitlines():
        for name in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)(?:: [^`]+)?`", line):
            if not name.endswith(SUFFIXES) and name != "data.recorded":
                assert is_parameter(name) or name.endswith(FILES), f"{page.name}: {name}"
        assigned = re.findall(r"`([a-z_.]+): [^`]+`", line)
        assert all(is_parameter(name) for name in assigned), f"{page.name}: {line}"


def test_tables_of_parameters_name_parameters():
    """The first column of each table headed parameter, on the page about the cart."""
    inside, named = False, set()
    for line in (SOURCE / "docs/cart.md").read_text().splitlines():
        inside = line.startswith("|") and (inside or line.startswith("| parameter |"))
        if inside:
            named.update(re.findall(r"`([^`]+)`", line.split("|")[1]))
    assert len(named) > 30
    assert {name for name in named if not is_parameter(name)} == set()


@docs
def test_names_in_backticks_are_words_of_the_code(page):
    known = words() | FOREIGN | set(SUBCOMMANDS) | {path.stem for path in files()}
    for text in backticked(page):
        if re.fullmatch(r"/?[A-Za-z_]\w*(/[a-z]\w*)*", text):
            assert set(re.findall(r"\w+", text)) <= known, f"{page.name}: {text}"


def test_launch_arguments_exist():
    text = (SOURCE / "docs/cart.md").read_text()
    table = text[text.index("## Launch arguments") : text.index("## Images")]
    shared = (SOURCE / "deeprs2v_ros/nodes/launching/arguments.py").read_text()
    for line in (line for line in table.splitlines() if line.startswith("|") and "`" in line):
        files, argument = line.split("|")[1:3]
        named = re.findall(r"launch/(\w+\.launch\.py)", files)
        for file in named or [path.name for path in (SOURCE / "launch").glob("*.py")]:
            for name in re.findall(r"\w+", argument):
                assert f'"{name}"' in shared + (SOURCE / "launch" / file).read_text(), f"{file}: {name}"


def test_every_subcommand_and_every_parameter_that_must_change_is_mentioned():
    text = "\n".join(page.read_text() for page in PAGES)
    missing = [name for name in SUBCOMMANDS if f"deeprs2v {name}" not in text]
    assert missing == []
    lines = (SOURCE / "config/cart.yaml").read_text().splitlines()
    for number, line in enumerate(lines):
        if "CHANGE" in line and number > 5:
            name = next(later for later in lines[number:] if not later.lstrip().startswith("#")).split(":")[0].strip()
            assert f"`{name}`" in text, name


def test_layout_names_every_folder_of_the_package():
    lines = (SOURCE / "CONTRIBUTING.md").read_text().splitlines()
    named, last = set(), ""
    for indent, name in (match.groups() for match in map(re.compile(r"^ {6}( {0,2})(\w+)/").match, lines) if match):
        last = last if indent else name
        named.add(f"{last}/{name}" if indent else name)
    package = SOURCE / "deeprs2v_ros"
    there = {path.parent.relative_to(package).as_posix() for path in package.rglob("__init__.py")} - {"."}
    assert named == there


@pytest.mark.parametrize("page", ["operator.md", "nodes.md"])
def test_every_state_and_every_reason_is_explained(page):
    names = {each.value for kind in (Refusal, Reason) for each in kind if each.value}
    names |= {state.name for state in State} | {CONFIRMING, CONTRADICTED, LATE}
    text = (SOURCE / "docs" / page).read_text()
    assert {name for name in names if f"`{name}`" not in text} == set()


def test_the_operator_finds_what_the_bar_says_beside_the_name_of_the_reason():
    text = (SOURCE / "docs/operator.md").read_text()
    rows = [line for line in text[text.index("## Why") :].splitlines() if line.startswith("|")]
    silent = {"", "SUPERSEDED", "INACTIVE"}  # no reason, one that needs nothing done, and one that is a state
    for name in {each.value for kind in (Refusal, Reason) for each in kind} - silent | {CONFIRMING, CONTRADICTED, LATE}:
        (row,) = (row for row in rows if f"`{name}`" in row)
        assert because(State.LOST, name) in row, name


def test_every_field_of_the_status_is_on_the_page_of_the_nodes():
    text = (SOURCE / "msg/RegistrationStatus.msg").read_text()
    fields = set(re.findall(r"^[\w/]+(?:\[\d+\])? ([a-z]\w*)\s*(?:#.*)?$", text, re.M)) - {"header"}
    assert len(fields) > 25
    page = (SOURCE / "docs/nodes.md").read_text()
    assert {name for name in fields if f"`{name}`" not in page} == set()
