"""What a physician would have seen of a replayed bag."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from deeprs2v_ros.bags import opened
from deeprs2v_ros.demo.accuracy import true_positions
from deeprs2v_ros.demo.film import LENGTH, film
from deeprs2v_ros.demo.guidance import Accepted, Target, choose_moments, guidance_picture
from deeprs2v_ros.demo.recording import Points
from deeprs2v_ros.demo.scenes import Seen, find_valid_area
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, apply, inverse
from deeprs2v_ros.imaging.volume import read_volume
from deeprs2v_ros.messages import image_of
from deeprs2v_ros.registration.supervisor import State
from deeprs2v_ros.replay.replay import Replayed
from deeprs2v_ros.replay.statuses import Status
from deeprs2v_ros.view.pictures import Scenery, Sight
from deeprs2v_ros.view.scenery import structures
from deeprs2v_ros.view.slices import Slicer


def guidance_views(replayed: Replayed, bag: Path, volume: Path) -> dict[str, bytes]:
    """guidance.png and guidance.webp: the organ far from rest and near to it, and a film around the former.

    Empty if nothing was ever accepted.
    """
    accepted, target = _accepted(replayed), None
    if not accepted:
        return {}
    if replayed.target_in_volume is not None:
        target = Target(replayed.target_in_volume, replayed.target_radius)
    images, patient = replayed.images, _scenery(replayed, bag, volume)
    began = min(each.stamp for each in replayed.statuses if each.frame is not None)
    farthest, _ = choose_moments(accepted, images.centre, target)
    begin = farthest.stamp - round(0.5e9 * LENGTH)
    return {
        "guidance.png": guidance_picture(accepted, _sights(replayed, bag), patient, images, target, began),
        "guidance.webp": film(_sights(replayed, bag), patient, images.pixel_size, begin),
    }


def _accepted(replayed: Replayed) -> list[Accepted]:
    """The accepted images, with the target's true place where the bag says it at the time that they show."""
    statuses = [each for each in replayed.statuses if each.accepted]
    true: list[Array | None] = [None] * len(statuses)
    if replayed.base_from_volume is not None and len(replayed.truth) > 1:
        stamps = sorted(replayed.truth)
        known = Points(np.array(stamps, np.int64), np.array([replayed.truth[stamp] for stamp in stamps]))
        shown = np.array([each.shown for each in statuses], np.int64)
        places = apply(inverse(replayed.base_from_volume), true_positions(known, shown))
        inside = (shown >= stamps[0]) & (shown <= stamps[-1])
        true = [place if there else None for place, there in zip(places, inside, strict=True)]
    pairs = zip(statuses, true, strict=True)
    return [Accepted(each.stamp, each.tracked, each.registered, each.motion, at) for each, at in pairs]


def _scenery(replayed: Replayed, bag: Path, path: Path) -> Scenery:
    mask = find_valid_area(_sights(replayed, bag), replayed.images.shape)
    slicer = Slicer(read_volume(path), mask, replayed.images.pixel_size)
    return Scenery(slicer, structures=structures({}, replayed.target_in_volume, replayed.target_radius))


def _sights(replayed: Replayed, bag: Path) -> Iterator[Seen]:
    said = {each.frame: each for each in replayed.statuses if each.frame is not None}
    with opened(bag) as recorded:
        for frame, (_, _, message) in enumerate(recorded.messages((replayed.image_topic,))):
            if frame in said:
                try:
                    yield Seen(said[frame].stamp, _sight(said[frame], image_of(message)))
                except InputError:  # the nodes could not read it either
                    continue


def _sight(status: Status, frame: np.ndarray) -> Sight:
    state, tracked, held = State[status.state], status.tracked, status.broadcast_motion
    if status.accepted:
        return Sight(frame, state, status.reason, status.registered, True, status.covariance)
    if state is State.HOLDING and tracked is not None and held is not None:
        return Sight(frame, state, status.reason, held @ tracked, True)
    return Sight(frame, state, status.reason, tracked)
