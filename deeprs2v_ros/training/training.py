"""The training of a network: one loop, on one device or, under torchrun, on many.

    deeprs2v train --config train.yaml --output RUN
    torchrun --nproc-per-node 4 -m deeprs2v_ros.cli.main train --config train.yaml --output RUN

Every process draws its own pairs and gradients are averaged (DistributedDataParallel). The first process validates,
writes the log and keeps two files: ``best.safetensors``, the weights that validated best, and ``last.safetensors``,
from which a run that was cut off goes on.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.files import written_whole
from deeprs2v_ros.network.architectures import Objective, build
from deeprs2v_ros.network.checkpoint import Description, load_tensors, save_tensors, save_weights
from deeprs2v_ros.training.clips import Clip
from deeprs2v_ros.training.pairs import Pairs
from deeprs2v_ros.training.settings import RunSettings, TrainingSettings
from deeprs2v_ros.training.validation import validate

LOG_COLUMNS = ("step", "seconds", "loss", "start_mm", "single_mm", "closed_loop_mm")
BEST, LAST, LOG = "best.safetensors", "last.safetensors", "log.csv"
VALIDATION_SEED = 1234
LARGEST_GRADIENT = 1.0
WEIGHT_DECAY = 1e-4


class Team:
    """The processes of a run: one, or as many as torchrun started."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        if self.size > 1:
            if device.type == "cuda":
                self.device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
                torch.cuda.set_device(self.device)
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")

    @property
    def first(self) -> bool:
        """Whether this process is the one that validates and writes."""
        return self.rank == 0

    def wrap(self, objective: nn.Module) -> nn.Module:
        """The objective, with gradients averaged over the team."""
        return DistributedDataParallel(objective) if self.size > 1 else objective

    def agree(self, stop: bool) -> bool:
        """What the first process says."""
        if self.size == 1:
            return stop
        flag = torch.tensor([float(stop)], device=self.device)
        distributed.broadcast(flag, 0)
        return bool(flag.item())

    def leave(self) -> None:
        """End of the run."""
        if self.size > 1:
            distributed.destroy_process_group()


def train(
    settings: TrainingSettings,
    clips: Sequence[Clip],
    validation: Sequence[Clip],
    folder: Path,
    device: torch.device,
    start: nn.Module | None = None,
    minutes: float = math.inf,
) -> Path:
    """Train a network, from ``start`` if given, and return the file of its best weights in ``folder``.

    Training ends early where validation has not improved for long, or, with a last validation, after ``minutes``.
    A run that is in the folder already goes on where it was cut off. Raises InputError if that run was another one.
    """
    run, grid = settings.run, settings.network.grid
    team = Team(device)
    torch.manual_seed(run.seed)
    network = build(settings.network.architecture, grid, settings.network.width) if start is None else start
    network = network.to(team.device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=run.learning_rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, run.learning_rate, total_steps=run.steps, pct_start=0.1)
    progress = Progress(folder, settings, [clip.subject for clip in clips])
    begin = progress.resume(network, optimizer, schedule) if progress.exists else 0
    objective = team.wrap(Objective(network, grid))
    # Every process, and every part of a run that was cut off, draws pairs of its own.
    seed = run.seed + 1000 * team.rank + 7919 * begin
    clips, validation = ([clip.to(team.device) for clip in each] for each in (clips, validation))
    pairs = iter(Pairs(clips, grid, run.batch, seed, run.reach, run.invented, team.device))
    torch.manual_seed(run.seed + team.rank + begin)
    losses: list[Tensor] = []
    began = perf_counter()
    bar = tqdm(range(begin, run.steps), initial=begin, total=run.steps, unit="step", disable=not team.first)
    for step in bar:
        observation, truth = next(pairs)
        loss = objective(observation, truth)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())  # asking for its value would wait for the device
        done = step + 1
        late = team.agree(perf_counter() - began > 60.0 * minutes) if math.isfinite(minutes) else False
        if done % run.validate_every and done < run.steps and not late:
            continue
        stop = False
        if team.first:
            found = validate(network, validation, grid, VALIDATION_SEED)
            bar.set_postfix(single=f"{found.single:.2f}", closed=f"{found.closed_loop:.2f}")
            row = (done, perf_counter() - began, float(torch.stack(losses).mean()), *found)
            stop = progress.add(row, network, optimizer, schedule)
        losses.clear()
        if team.agree(stop) or late:
            break
    team.leave()
    return folder / BEST


class Progress:
    """What a run leaves in its folder."""

    def __init__(self, folder: Path, settings: TrainingSettings, subjects: Sequence[str]) -> None:
        self._folder = folder
        self._run: RunSettings = settings.run
        self._identity = json.dumps(dataclasses.asdict(settings), sort_keys=True, default=str)
        self._rows: list[tuple[float, ...]] = []
        trained_on = {
            "subjects": sorted(set(subjects)), "run": dataclasses.asdict(settings.run),
            "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }  # fmt: skip
        network = settings.network
        self._description = Description(network.architecture, network.grid, network.width, trained_on)

    @property
    def exists(self) -> bool:
        """Whether the folder holds a run already."""
        return (self._folder / LAST).is_file()

    def add(
        self,
        row: tuple[float, ...],
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
    ) -> bool:
        """Keep a validation and the state after it. Returns whether training should stop, as it does not get better."""
        self._rows.append(row)
        scores = [each[-1] + each[-2] for each in self._rows]
        best = scores.index(min(scores))
        if best == len(scores) - 1:
            save_weights(self._folder / BEST, network, self._description)
        tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(each) for name, each in state.items()}
        metadata = {
            "run": self._identity, "rows": json.dumps(self._rows),
            "rates": json.dumps([schedule.last_epoch, *schedule.get_last_lr()]),
        }  # fmt: skip
        save_tensors(self._folder / LAST, tensors, metadata)
        with written_whole(self._folder / LOG) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            lines = [[int(step), *(f"{value:.4f}" for value in rest)] for step, *rest in self._rows]
            csv.writer(file, lineterminator="\n").writerows([LOG_COLUMNS, *lines])
        return len(scores) - 1 - best >= self._run.patience

    def resume(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
    ) -> int:
        """Put the state of the last validation back; returns the steps done. Raises InputError for another run's."""
        path = self._folder / LAST
        tensors, metadata = load_tensors(path)
        if metadata.get("run") != self._identity:
            raise InputError(f"{path}: belongs to a run with another configuration; choose another folder")
        self._rows = [tuple(row) for row in json.loads(metadata["rows"])]
        network.load_state_dict(
            {name.removeprefix("network."): each for name, each in tensors.items() if name.startswith("network.")}
        )
        done = int(self._rows[-1][0])
        state = optimizer.state_dict()
        for name, each in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "optimizer":
                index, _, field = rest.partition(".")
                state["state"].setdefault(int(index), {})[field] = each
        for group, rate in zip(state["param_groups"], json.loads(metadata["rates"])[1:], strict=True):
            group["lr"] = rate
        optimizer.load_state_dict(state)
        schedule.last_epoch = done
        return done
