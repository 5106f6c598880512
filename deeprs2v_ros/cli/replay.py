"""Put a recorded bag through the live pipeline, without ROS and without real time.

The bag is a rosbag2 folder (MCAP or SQLite, compressed or not) with images, and TF from us_volume to us_image or joint
states of the arm. Parameters are those of the nodes, in the same file. Every image gets one row of POSES.csv, ACCEPTED
where it would have been broadcast; beside it, POSES.statuses.jsonl says everything else: state, reason, what is on TF,
what is predicted. The same bag gives the same files, bit for bit; so runtimes are 0.

Where the bag has the statuses of the nodes, images that they did not register for want of time are set aside as well,
poses and times are those that the nodes had, and what comes of it is compared to what they said. Otherwise, and with
--all-images, the clock is the bag's: the time at which each message was recorded. Registration takes none of it, so no
image is superseded and predictions reach less far ahead than they do live.

Where nothing was registered, a row has the tracked pose, and where the arm did not say that, the origin of the volume.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from tqdm import tqdm

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.evaluation.poses import write_poses
from deeprs2v_ros.registration.methods import LIVE
from deeprs2v_ros.replay.agreement import in_words
from deeprs2v_ros.replay.replay import SOURCES, Replayed, Request, replay
from deeprs2v_ros.replay.statuses import row_of, write_statuses

TOPICS = (
    ("image", "us/image", "images"),
    ("joint", "joint_states", "joint states"),
    ("pose", "arm/image_pose", "how sure the arm is of the image's pose"),
    ("tf", "tf", "transforms"),
    ("tf-static", "tf_static", "transforms that stay"),
    ("status", "registration/status", "what the nodes said of each image"),
)
"""Options --NAME-topic, topics that are usual, and what is on them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("bag", type=Path, metavar="BAG", help="folder of the bag (the one with metadata.yaml)")
    parser.add_argument("--volume", type=Path, required=True, help="3D image (.mha, .nrrd, .nii ...), 0 where no data")
    parser.add_argument("--parameters", type=Path, metavar="P.yaml", help="ROS parameter file of the nodes")
    parser.add_argument("--mask", type=Path, help="valid area of an image (PNG); without it, as the parameters say")
    parser.add_argument("--method", choices=LIVE, help="how; without it, as the parameters say")
    parser.add_argument(
        "--pixel-size", type=float, nargs=2, metavar=("X", "Y"), help="mm; without it, as the parameters say"
    )
    parser.add_argument(
        "--poses",
        choices=SOURCES,
        help="where poses come from (default: what the nodes said, else tf if it leads there)",
    )
    parser.add_argument("--all-images", action="store_true", help="register also what the nodes had no time for")
    parser.add_argument("--namespace", metavar="NAME", help="of the topics (default: that of the only us/image)")
    for name, usual, what in TOPICS:
        parser.add_argument(f"--{name}-topic", metavar="TOPIC", help=f"{what} (default {usual}, in the namespace)")
    parser.add_argument("--output", type=Path, required=True, metavar="POSES.csv", help="rows to write")
    parser.add_argument("--report", type=Path, metavar="DIR", help="folder for a page with plots and numbers")


def run(arguments: argparse.Namespace) -> None:
    """Play, then write. Raises InputError on bad input, and after a fault, when everything is written."""
    for path in (arguments.output, arguments.report):
        if path is not None and not path.resolve().parent.is_dir():
            raise InputError(f"{path}: the folder {path.parent} does not exist")
    log = _Log()
    request = Request(
        arguments.bag,
        arguments.volume,
        arguments.parameters,
        arguments.mask,
        arguments.method,
        tuple(arguments.pixel_size) if arguments.pixel_size else None,
        arguments.poses,
        {
            "image": arguments.image_topic,
            "joints": arguments.joint_topic,
            "pose": arguments.pose_topic,
            "tf": arguments.tf_topic,
            "tf_static": arguments.tf_static_topic,
            "status": arguments.status_topic,
        },
        arguments.namespace,
        arguments.all_images,
    )
    replayed = replay(request, log.say)
    log.finish()
    if replayed.set_aside:
        print(f"deeprs2v replay: {_not_registered(replayed)}", file=sys.stderr)
    of_images = sorted((each for each in replayed.statuses if each.frame is not None), key=lambda each: each.frame)
    write_poses(arguments.output, [row_of(each, replayed.images.image_from_pixel) for each in of_images])
    write_statuses(arguments.output.with_suffix(".statuses.jsonl"), replayed.statuses)
    if arguments.report is not None:
        from deeprs2v_ros.replay.report import write_report

        write_report(arguments.report, replayed, arguments.bag, arguments.volume)
    print(f"{arguments.output}: {_summary(replayed)}")
    if replayed.agreement is not None:
        print(f"against the nodes: {in_words(replayed.agreement)}")
    if not any(each.volume for each in replayed.statuses):
        raise InputError(f"{arguments.bag}: nothing could be registered: {log.last or of_images[-1].reason}")
    if replayed.statuses[-1].state == "FAULT":
        raise InputError(f"{arguments.bag}: the registration failed: {replayed.statuses[-1].reason}")


def _summary(replayed: Replayed) -> str:
    from deeprs2v_ros.replay.report import errors_of

    of_images = [each for each in replayed.statuses if each.frame is not None]
    accepted = sum(each.accepted for each in of_images)
    states = Counter(each.state for each in of_images)
    reasons = Counter(each.reason.partition(":")[0] for each in of_images if not each.accepted)
    parts = [f"{accepted} of {len(of_images)} images accepted ({100.0 * accepted / len(of_images):.1f} %)"]
    parts += [", ".join(f"{count} {name}" for name, count in counts.most_common()) for counts in (states, reasons)]
    if replayed.runtimes:
        parts.append(f"{np.median(replayed.runtimes):.0f} ms an image (median)")
    errors = errors_of(replayed)
    if errors is not None and errors.registered.count:
        parts.append(
            f"target off by RMS {errors.registered.rms:.2f} mm, uncorrected {errors.uncorrected.rms:.2f}, "
            f"predicted {errors.forecast.rms:.2f}"
        )
    return "; ".join(part for part in parts if part)


def _not_registered(replayed: Replayed) -> str:
    images = sum(each.frame is not None for each in replayed.statuses)
    reasons = ", ".join(f"{count} {reason}" for reason, count in replayed.set_aside.items())
    return (
        f"the nodes did not register {sum(replayed.set_aside.values())} of {images} images: {reasons}; "
        "--all-images registers those too"
    )


class _Log:
    """Says each line once, and in the end how often it would have been said."""

    def __init__(self) -> None:
        self._said: Counter[str] = Counter()
        self.last = ""

    def say(self, line: str) -> None:
        """Say a line, above the progress bar."""
        self.last = line
        self._said[line] += 1
        if self._said[line] == 1:
            tqdm.write(f"deeprs2v replay: {line}", file=sys.stderr)

    def finish(self) -> None:
        """Say what was said again and again."""
        for line, count in self._said.items():
            if count > 1:
                print(f"deeprs2v replay: {count} times: {line}", file=sys.stderr)
