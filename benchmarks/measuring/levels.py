"""A frame at its true pose as a task on every level, for what is measured below whole registrations."""

from __future__ import annotations

import numpy as np

from deeprs2v_ros.registration.belief import Belief, expected_scale
from deeprs2v_ros.registration.correction import Task
from deeprs2v_ros.registration.frame import Frame
from deeprs2v_ros.registration.methods import make_tracker
from deeprs2v_ros.registration.settings import RegistrationSettings
from deeprs2v_ros.registration.tracker import Tracker
from measuring.subject import Subject


def on_levels(subject: Subject) -> tuple[Tracker, list[Task]]:
    """A tracker for the subject, and its middle frame as a task on each level, from coarse to fine."""
    tracker = make_tracker("lncc", subject.volume, subject.mask, subject.image_from_pixel)
    middle = len(subject.frames) // 2
    frame = Frame(subject.frames.frames[middle], tracker.mask, tracker.levels)
    prior = Belief(subject.poses[middle], expected_scale(None, RegistrationSettings().organ))
    return tracker, [
        frame.on_level(number, subject.centre, [prior], tracker.settings.belief_weight)
        for number in range(len(tracker.levels))
    ]


def true_pose(subject: Subject) -> np.ndarray:
    """That of the frame above, in memory of its own as the compiled functions like it."""
    return np.ascontiguousarray(subject.poses[len(subject.frames) // 2])
