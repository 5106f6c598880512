"""Whether results are as uncertain as they claim: errors against the covariances that come with them.

    python benchmarks/uncertainty.py --subjects FOLDER --scale 1 --frames 8
    python benchmarks/uncertainty.py --clip NAME VOLUME SEQUENCE MASK

For every clip: which share of the true poses lies inside the ellipsoids that should hold 50, 90 and 99 % of them, of
the network's proposals (Student's t distribution) and of the accepted results of deeprs2v+lncc (Gaussian). As on a
cart, registration knows how sure the tracked pose is: with the arm as it is shipped, never calibrated.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from measuring.arm import nominal_arm
from paper_tables import Clip, given_clip, load_clip, subject_clips
from scipy.stats import chi2, f
from tqdm import tqdm

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, about, image_centre, split_pixel_transform
from deeprs2v_ros.imaging.volume import read_volume
from deeprs2v_ros.network.checkpoint import load_weights
from deeprs2v_ros.network.prediction import Predictor
from deeprs2v_ros.registration.belief import TAIL, Belief, squared_distance
from deeprs2v_ros.registration.tracker import Tracker
from deeprs2v_ros.training.pairs import draw_displacement

SHARES = np.array([0.5, 0.9, 0.99])


def main(argv: Sequence[str] | None = None) -> int:
    """Run with ``argv`` (the process's if None); returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=Path, metavar="FOLDER", help="simulated subjects, all of their clips")
    parser.add_argument(
        "--clip", action="append", nargs=4, default=[], metavar="FILE", help="NAME VOLUME SEQUENCE MASK"
    )
    parser.add_argument("--weights", default="correspondence", help="of the network (correspondence)")
    parser.add_argument("--scale", type=float, default=1.0, help="of the paper's range (1)")
    parser.add_argument("--frames", type=int, help="of each clip, evenly chosen (all)")
    parser.add_argument("--seed", type=int, default=0, help="of the displacements (0)")
    arguments = parser.parse_args(argv)
    try:
        files = [given_clip(words) for words in arguments.clip]
        files += subject_clips(arguments.subjects) if arguments.subjects else []
        print(f"{'clip':24}{'network, n':>12}{'50 % 90 % 99 %':>20}{'accepted, n':>14}{'50 % 90 % 99 %':>20}")
        network, accepted = [], []
        for each in tqdm(files, desc="clips", unit="clip", disable=None):
            pairs = list(distances(load_clip(each, arguments.frames), arguments))
            network.append(np.array([proposed for proposed, _ in pairs]))
            accepted.append(np.array([result for _, result in pairs if result is not None]))
            tqdm.write(line(each.name, network[-1], accepted[-1]))
        if files:
            print(line("all", np.concatenate(network), np.concatenate(accepted)))
    except (InputError, OSError) as error:
        print(f"uncertainty: error: {error}", file=sys.stderr)
        return 2
    return 0


def distances(clip: Clip, arguments: argparse.Namespace) -> Iterator[tuple[float, float | None]]:
    """Squared Mahalanobis distances of the true pose from the proposal, and from the result where it is accepted."""
    volume = read_volume(clip.files.volume)
    image_from_pixel = split_pixel_transform(clip.frames.world_from_pixel[0])[1]
    centre = image_centre(clip.mask.shape, image_from_pixel)
    propose = Predictor(load_weights(arguments.weights), volume, clip.mask, image_from_pixel)
    proposals: list[Belief] = []

    def keep(image: Array, prior: Array) -> Belief:
        proposals.append(propose(image, prior))
        return proposals[-1]

    tracker = Tracker(volume, clip.mask, image_from_pixel, temporal=False, propose=keep)
    arm = nominal_arm(clip.mask.shape, image_from_pixel)
    rng = np.random.default_rng(arguments.seed)
    for image, world_from_pixel in zip(clip.frames.frames, clip.frames.world_from_pixel, strict=True):
        truth, _ = split_pixel_transform(world_from_pixel)
        start = truth @ about(centre, draw_displacement(rng, arguments.scale))
        proposals.clear()
        result = tracker.register_frame(image, start, arm=arm)
        if proposals:
            found = squared_distance(truth, Belief(result.registered, result.covariance), centre)
            yield squared_distance(truth, proposals[0], centre), found if result.accepted else None


def line(name: str, network: Array, accepted: Array) -> str:
    """A row of the table."""
    of_network = (network[:, None] / 6.0 < f.ppf(SHARES, 6, TAIL)).mean(axis=0) if len(network) else np.full(3, np.nan)
    of_results = (accepted[:, None] < chi2.ppf(SHARES, 6)).mean(axis=0) if len(accepted) else np.full(3, np.nan)
    shares = ["  ".join(f"{100.0 * share:3.0f}" for share in each) for each in (of_network, of_results)]
    return f"{name:24}{len(network):12}{shares[0]:>20}{len(accepted):14}{shares[1]:>20}"


if __name__ == "__main__":
    sys.exit(main())
