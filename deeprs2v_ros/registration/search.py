"""Coarse-to-fine search from several starting points, so that one bad valley does not decide.

The correction climbs to the nearest summit of LNCC. Starts drawn around the prior climb on a plane of a few hundred
points, where a climb costs a fraction of a millisecond; distinct summits are kept and compared on ever finer levels.
By how much the winner beats the best different summit says whether it is the only one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import NamedTuple

import numpy as np

from deeprs2v_ros.geometry import Array, about, apply, from_motion, geodesic_distance
from deeprs2v_ros.registration.belief import Belief
from deeprs2v_ros.registration.correction import LEVER, SCALE, WORKERS, Evaluation, Task, correct, evaluate
from deeprs2v_ros.registration.settings import RegistrationSettings

DRAWN, WIDER = 64, 2.0
"""How many poses are drawn around the prior, and how widely, in units of its scale."""

STARTS = 16
"""So many climb, those with the best scores where they are."""

WEAK, FAR = 2, 1.5
"""How many of the least sure directions are tried, and how far, in standard deviations."""

APART = 2.0
"""Summits closer than this many lattice points are the same summit."""

_NORMAL = np.random.default_rng(0).normal(size=(DRAWN, 6))


class Found(NamedTuple):
    """The ``best`` pose on the finest level, by what share it beat its last rival, and how many poses were tried."""

    best: Evaluation
    margin: float
    iterations: int


def search(tasks: Sequence[Task], hypotheses: Sequence[Array], settings: RegistrationSettings) -> Found:
    """Find the pose of a frame, put to each level as a task, from ``hypotheses``, volume_from_image (4x4 mm).

    The `STARTS` best of them climb. In rounds that say so, more are spread around the best one so far.
    """
    scored = sorted(WORKERS.map(evaluate, repeat(tasks[0]), hypotheses), key=lambda start: -start.score)
    starts, margin, iterations = [start.pose for start in scored[:STARTS]], 1.0, len(scored)
    for task, limits in zip(tasks, settings.levels, strict=True):
        for turn in limits.rounds:
            starts += spread(starts[0], task.centre, turn.spread)
            climbs = list(WORKERS.map(correct, repeat(task), starts, repeat(turn.iterations)))
            iterations += sum(tried for _, tried in climbs)
            best = distinct([summit for summit, _ in climbs], turn.keep, APART * task.spacing, task.centre)
            starts = [summit.pose for summit in best]
            if turn.keep > 1:
                rival = best[1].score if len(best) > 1 else 0.0
                margin = (best[0].score - rival) / max(best[0].score, 1e-6)
    return Found(best[0], margin, iterations)


def hypotheses(beliefs: Sequence[Belief], centre: Array) -> list[Array]:
    """Where to start: the believed poses, poses drawn around the prior and, around a network's, where that is unsure.

    The last of the ``beliefs`` is the prior. `DRAWN` poses are drawn from its scale, `WIDER` times as wide: in all six
    directions at once, and the same ones each time. A network's, the first of two, has poses beside it at `FAR`
    standard deviations, both ways, along the `WEAK` widest axes of its scale.
    """
    motions = WIDER * _NORMAL @ np.linalg.cholesky(beliefs[-1].scale).T
    poses = [belief.pose for belief in beliefs]
    poses += [beliefs[-1].pose @ about(centre, from_motion(motion)) for motion in motions]
    if len(beliefs) > 1:
        variances, axes = np.linalg.eigh(beliefs[0].scale / np.outer(SCALE, SCALE))
        steps = (FAR * np.sqrt(variances[-WEAK:]) * axes[:, -WEAK:] * SCALE[:, None]).T
        poses += [poses[0] @ about(centre, from_motion(sign * step)) for step in steps for sign in (1.0, -1.0)]
    return poses


def spread(pose: Array, centre: Array, reaches: Sequence[tuple[float, float]]) -> list[Array]:
    """The poses (4x4) at each reach (mm, degrees) from ``pose``, along and about each image axis, both ways."""
    motions: list[Array] = []
    for translation, rotation in reaches:
        steps = np.diag([translation] * 3 + [np.radians(rotation)] * 3)
        motions += [*steps, *-steps]
    return [pose @ about(centre, from_motion(motion)) for motion in motions]


def distinct(summits: Sequence[Evaluation], keep: int, apart: float, centre: Array) -> list[Evaluation]:
    """The ``keep`` best summits that are at least ``apart`` mm from every better one, best first."""
    chosen: list[Evaluation] = []
    for summit in sorted(summits, key=lambda s: -s.score):
        if all(distance(summit.pose, other.pose, centre) > apart for other in chosen):
            chosen.append(summit)
        if len(chosen) == keep:
            break
    return chosen


def distance(pose_a: Array, pose_b: Array, centre: Array) -> float:
    """How far two poses of a plane are apart: mm at the image centre, joined with the angle at the lever."""
    shift = np.linalg.norm(apply(pose_a, centre) - apply(pose_b, centre))
    return float(np.hypot(shift, LEVER * geodesic_distance(pose_a[:3, :3], pose_b[:3, :3])))
