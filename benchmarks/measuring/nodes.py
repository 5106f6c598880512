"""The nodes as they run: `deeprs2v demo` under several conditions, and what they cost while nothing happens."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tqdm import tqdm

from deeprs2v_ros.errors import InputError
from measuring.load import busy
from measuring.report import Section, Table
from measuring.timing import significant

IDLE = Path(__file__).resolve().parents[1] / "idle.py"
KEYS = ("rms", "median", "p95")


def measure(data: Path | None, seconds: float, load: int = 2) -> Section:
    """Run the demo for ``seconds`` each: simulated, recorded if there is ``data``, and with ``load`` busy processes."""
    recorded = []
    if data is not None:
        files = {"--sequence": "frames.igs.mha", "--volume": "volume.mha", "--mask": "mask.png"}
        recorded = [word for option, name in files.items() for word in (option, str(data.resolve() / name))]
    slow, fast = ["--rate", "10"], [*recorded, "--rate", "30"]
    conditions = {"simulated, 10 a second": (slow, 0)}
    if recorded:
        conditions["recorded, 30 a second"] = (fast, 0)
        conditions[f"recorded, 30 a second, {load} busy processes"] = (fast, load)
    else:
        conditions[f"simulated, 10 a second, {load} busy processes"] = (slow, load)
    rows, numbers = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (options, processes) in tqdm(conditions.items(), desc="nodes", unit="demo"):
            with ExitStack() as stack:
                stack.enter_context(busy(processes))
                found = demo(Path(folder), [*options, "--duration", f"{seconds:g}"])
            numbers[name] = found
            target, predicted, latency = (found[key] for key in ("target", "target_predicted", "latency"))
            rows.append(
                (
                    name, *(number(spread[key]) for spread in (predicted, target) for key in ("rms", "p95")),
                    number(latency["median"]), number(latency["p95"]),
                    "yes" if found["exactly_one_status"] else "no",
                )
            )  # fmt: skip
        idle = idling(Path(folder), 5.0 if seconds < 20.0 else 20.0)
    text = (
        f"`deeprs2v demo`, {seconds:g} s each, breathing 15 mm: the error at the tumour, as predicted for the moment "
        "of asking and as looked up at the image's stamp; latency from the image's stamp until the correction "
        "was broadcast; whether every image got exactly one status."
    )
    columns = (
        "condition", "predicted, mm RMS", "p95", "at the stamp, mm RMS", "p95", "latency, ms, median", "p95",
        "one status each",
    )  # fmt: skip
    note = f"While no images come and the arm moves at 100 Hz, all nodes in one process: {idle:.1f} % of a core."
    return Section("The nodes", text, Table(columns, rows), (note,), {"conditions": numbers, "idle_percent": idle})


def demo(folder: Path, options: list[str]) -> dict[str, Any]:
    """What summary.json says of one run. Raises InputError with the last line said if it fails."""
    # Elsewhere, so that the built package is used, which has the messages, and not the sources around this file.
    run([sys.executable, "-m", "deeprs2v_ros.cli.main", "demo", "--output", "demo", *options], folder)
    return json.loads((folder / "demo" / "summary.json").read_text(encoding="utf-8"))


def idling(folder: Path, seconds: float) -> float:
    """Percent of a core that all nodes in one process take, by benchmarks/idle.py."""
    said = run([sys.executable, str(IDLE), "--way", "composed", "--seconds", f"{seconds:g}"], folder)
    return float(re.search(r"\*\*all\*\*.*\*\*([\d.]+)\*\*", said)[1])


def run(command: list[str], folder: Path) -> str:
    """What ``command`` says on its standard output."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no reason given"]
        raise InputError(f"nodes: {said[-1]}")
    return done.stdout


def number(value: float | None) -> str:
    """Three digits, or a dash."""
    return "-" if value is None else significant(value)
