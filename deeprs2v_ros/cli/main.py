"""The `deeprs2v` command: finds the subcommand's module, runs it, and turns bad input into one clear line.

A subcommand is a module of this package. The first line of its docstring is its help; ``add_arguments(parser)``
declares its arguments; ``run(arguments)`` does the work. Only the module of the subcommand in use is imported.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from deeprs2v_ros.errors import InputError

SUBCOMMANDS = (
    *("reconstruct", "register", "replay", "evaluate", "preprocess", "simulate", "segment-vessels", "demo"),
    *("train", "finetune", "learn-gate"),
    *("calibrate-arm", "evaluate-arm", "rezero", "calibrate-time"),
    "warm-up",
)

BAD_INPUT, INTERRUPTED = 2, 130


class _Parser(argparse.ArgumentParser):
    """A parser that reports a wrong command line in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: error: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand with ``argv`` (the process's if None). Returns the exit status, 0 only on success."""
    argv = sys.argv[1:] if argv is None else list(argv)
    # No option comes before the subcommand, so that the first word that is not one names it.
    chosen = next((word for word in argv if not word.startswith("-")), None)
    parser = _Parser(prog="deeprs2v", description="Registration of live 2D ultrasound to a 3D ultrasound volume.")
    subparsers = parser.add_subparsers(title="subcommands", dest="subcommand", metavar="SUBCOMMAND", required=True)
    for name in SUBCOMMANDS:
        docstring = _docstring(name)
        subparser = subparsers.add_parser(name, help=_first_line(docstring), description=docstring)
        if name == chosen:
            try:
                module = importlib.import_module(_module_name(name))
            except InputError as error:  # a library that it needs is not installed
                return _failed(name, str(error))
            module.add_arguments(subparser)
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        module.run(arguments)
    except InputError as error:
        return _failed(arguments.subcommand, str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _failed(arguments.subcommand, f"{where}{error.strerror or error}")
    except MemoryError:
        return _failed(arguments.subcommand, "not enough memory for this input")
    except KeyboardInterrupt:
        print(f"deeprs2v {arguments.subcommand}: interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


def _failed(subcommand: str, message: str) -> int:
    print(f"deeprs2v {subcommand}: error: {' '.join(message.split())}", file=sys.stderr)
    return BAD_INPUT


def _module_name(subcommand: str) -> str:
    return f"{__package__}.{subcommand.replace('-', '_')}"


def _docstring(subcommand: str) -> str:
    """A module's docstring, read from its source, so that help does not wait for the module's imports."""
    source = Path(__file__).with_name(subcommand.replace("-", "_") + ".py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)) or ""


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
