"""Coarse-to-fine search from several starting points, so that one bad start does not decide.

The correction climbs to the nearest summit of LNCC. Starts drawn around the prior climb on a plane of a few hundred
points, where a climb costs a fraction of a millisecond; distinct summits are kept and compared on ever finer levels.
By how much the winner beats the best different summit says whether it is the only one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from deeprs2v_ros.geometry import Array, apply, geodesic_distance
from deeprs2v_ros.registration.belief import Belief
from deeprs2v_ros.registration.correction import LEVER, SCALE, WORKERS, Evaluation, Task, correct, screen
from deeprs2v_ros.registration.settings import RegistrationSettings


class Reach(NamedTuple):
    """How far a search looks: poses ``drawn`` around the prior, ``wider`` than its scale; the best ``starts`` climb."""

    drawn: int
    wider: float
    starts: int


NEAR = Reach(64, 2.0, 16)
"""Around a prior that is to be trusted: as far as the paper displaces its frames, and twice as far."""

FAR = Reach(1000, 1.25, 48)
"""Around a prior that says little: most of what is drawn lies in the valley of some other summit."""

WEAK, ASIDE = 2, 1.5
"""How many of a network's least sure directions are tried, and how far, in standard deviations."""

APART = 2.0
"""Summits closer than this many lattice points are the same summit."""

_NORMAL = np.random.default_rng(0).normal(size=(FAR.drawn, 6))


class Found(NamedTuple):
    """The ``best`` pose on the finest level, by what share it beat its last rival, and how many poses were tried."""

    best: Evaluation
    margin: float
    iterations: int


def search(
    tasks: Sequence[Task], hypotheses: Array, settings: RegistrationSettings, starts: int, alone: bool = False
) -> Found:
    """Find the pose of a frame, given as a task on each level, from ``hypotheses``, volume_from_image (N, 4, 4) mm.

    The best ``starts`` of them climb. Some rounds spread more starts around the best one so far. With ``alone`` the
    climbs leave the `WORKERS` to others.
    """
    run = map if alone else WORKERS.map
    best_first = np.argsort(-screen(tasks[0], hypotheses), kind="stable")
    poses, margin, iterations = list(hypotheses[best_first[:starts]]), 1.0, len(hypotheses)
    for task, limits in zip(tasks, settings.levels, strict=True):
        for turn in limits.rounds:
            poses += spread(poses[0], task.centre, turn.spread)
            climbs = list(run(correct, repeat(task), poses, repeat(turn.iterations)))
            iterations += sum(tried for _, tried in climbs)
            best = distinct([summit for summit, _ in climbs], turn.keep, APART * task.spacing, task.centre)
            poses = [summit.pose for summit in best]
            if turn.keep > 1:
                rival = best[1].score if len(best) > 1 else 0.0
                margin = (best[0].score - rival) / max(best[0].score, 1e-6)
    return Found(best[0], margin, iterations)


def hypotheses(beliefs: Sequence[Belief], centre: Array, reach: Reach = NEAR) -> Array:
    """Where to start (N, 4, 4): the believed poses, poses drawn around the prior, and beside a network's.

    The last of the ``beliefs`` is the prior. Poses are drawn from its scale, in all six directions at once, and the
    same ones each time. A network's, the first of two, has poses beside it at `ASIDE` standard deviations, both ways,
    along the `WEAK` widest axes of its scale.
    """
    motions = reach.wider * _NORMAL[: reach.drawn] @ np.linalg.cholesky(beliefs[-1].scale).T
    poses = [np.stack([belief.pose for belief in beliefs]), displaced(beliefs[-1].pose, centre, motions)]
    if len(beliefs) > 1:
        variances, axes = np.linalg.eigh(beliefs[0].scale / np.outer(SCALE, SCALE))
        steps = (ASIDE * np.sqrt(variances[-WEAK:]) * axes[:, -WEAK:] * SCALE[:, None]).T
        poses.append(displaced(beliefs[0].pose, centre, np.concatenate([steps, -steps])))
    return np.concatenate(poses)


def displaced(pose: Array, centre: Array, motions: Array) -> Array:
    """``pose`` (4, 4) after each small motion (N, 6) about ``centre`` (3,) of the image: (N, 4, 4)."""
    moved = np.tile(np.eye(4), (len(motions), 1, 1))
    moved[:, :3, :3] = Rotation.from_rotvec(motions[:, 3:]).as_matrix()
    moved[:, :3, 3] = motions[:, :3] + centre - moved[:, :3, :3] @ centre
    return pose @ moved


def spread(pose: Array, centre: Array, reaches: Sequence[tuple[float, float]]) -> list[Array]:
    """The poses (4x4) at each reach (mm, degrees) from ``pose``, along and about each image axis, both ways."""
    if not reaches:
        return []
    steps = np.concatenate([np.diag([along] * 3 + [np.radians(about)] * 3) for along, about in reaches])
    return list(displaced(pose, centre, np.concatenate([steps, -steps])))


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
