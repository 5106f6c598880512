"""How well the organ's motion is predicted, and whether the predicted covariances are honest, on simulated motion.

    python benchmarks/prediction.py [--seeds 100-119] [--rates 3,10,30] [--conditions breathing,coughs]

A measurement is there some latency after its image was taken; in between, predictions are asked for 50 times a second.
Of a point 20 mm from the centre, the error against the truth is given in mm, root mean square and 95th percentile, over
the predictions that were made; for comparison, that of holding the last measurement and of going on as between the last
two. "Inside" is the share of true positions in the 95 % ellipsoid, 20 and 50 mm from the centre; "silent" that of
requests not answered. The first 10 s of each recording count only for "inside". Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from time import perf_counter

import numpy as np
from organ_motion import CENTRE, CONDITIONS, LENGTH, Condition, measurements, organ_motion

from deeprs2v_ros.geometry import Array, about, apply, from_motion, inverse, seen_from, to_motion
from deeprs2v_ros.registration.prediction import MotionPredictor, Prediction

LATENCIES = (0.02, 0.05, 0.1, 0.2)
"""s."""
ASKED = 0.02
"""s between requests."""
LEARNING = 10.0
"""s at the start of a recording, whose errors are not counted."""
POINTS = CENTRE + np.array([[12.0, 0.0, 16.0], [-24.0, 30.0, 32.0]])
"""mm: 20 and 50 from the centre."""
SEEN = [seen_from(point - CENTRE)[:3] for point in POINTS]
INSIDE = 7.815
"""The 95 % quantile of chi squared with three degrees of freedom."""
HEADER = "| condition | images/s | latency ms | RMS | 95 % | hold RMS | 95 % | velocity RMS | 95 % | inside | silent |"


def main(argv: Sequence[str] | None = None) -> int:
    """Run with ``argv`` (the process's if None); returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0-9", help="first and last (0-9)")
    parser.add_argument("--rates", default="3,10,30", help="images per second (3,10,30)")
    parser.add_argument("--conditions", default="", help="by name, with commas (all)")
    parser.add_argument("--processes", type=int, default=1, help="side by side (1)")
    arguments = parser.parse_args(argv)
    first, last = (int(word) for word in arguments.seeds.split("-"))
    names = [name.strip() for name in arguments.conditions.split(",") if name.strip()]
    chosen = [each for each in CONDITIONS if not names or each.name in names]
    print(HEADER)
    print("|---|" + "---:|" * 10, flush=True)
    costs = []
    with ProcessPoolExecutor(arguments.processes) as pool:
        for condition in chosen:
            for rate in (float(word) for word in arguments.rates.split(",")):
                runs = list(pool.map(partial(run, condition, rate), range(first, last + 1)))
                costs.append(np.mean([cost for _, cost in runs], axis=0))
                for latency in LATENCIES:
                    rows = np.concatenate([found[latency] for found, _ in runs])
                    print(f"| {condition.name} | {rate:g} | {1000 * latency:.0f} | {line(rows)} |", flush=True)
    update, predict = np.mean(costs, axis=0)
    print(f"\n{1e6 * update:.0f} us per update, {1e6 * predict:.0f} us per prediction")
    return 0


def run(condition: Condition, rate: float, seed: int) -> tuple[dict[float, Array], tuple[float, float]]:
    """A recording: for each latency rows as `asked` gives them; and seconds per update and per prediction."""
    motion = organ_motion(condition.pattern, seed)
    times, measured, covariances = measurements(condition, motion, rate, seed)
    requests = np.arange(0.0, LENGTH, ASKED) + 0.37 * ASKED
    truth = [apply(inverse(motion(float(time))), POINTS) for time in requests]
    predictor = MotionPredictor(CENTRE)
    rows: dict[float, list[list[float]]] = {latency: [] for latency in LATENCIES}
    updating = predicting = 0.0
    count = 0
    for n, time in enumerate(times):
        before = perf_counter()
        predictor.update(round(time * 1e9), measured[n], covariances[n])
        updating += perf_counter() - before
        following = times[n + 1] if n + 1 < len(times) else LENGTH
        for latency in LATENCIES:
            for at in range(*np.searchsorted(requests, [time + latency, following + latency])):
                before = perf_counter()
                prediction = predictor.predict(round(requests[at] * 1e9))
                predicting += perf_counter() - before
                count += 1
                guesses = baselines(times, measured, n, requests[at])
                rows[latency].append(asked(float(requests[at]), truth[at], prediction, guesses))
    return {latency: np.array(each) for latency, each in rows.items()}, (updating / len(times), predicting / count)


def baselines(times: Array, measured: list[Array], n: int, time: float) -> tuple[Array, Array]:
    """The last measurement, and where it goes at constant velocity."""
    if n == 0:
        return measured[0], measured[0]
    step = to_motion(about(-CENTRE, measured[n] @ inverse(measured[n - 1])))
    share = (time - times[n]) / (times[n] - times[n - 1])
    return measured[n], about(CENTRE, from_motion(share * step)) @ measured[n]


def asked(time: float, truth: Array, prediction: Prediction | None, guesses: tuple[Array, Array]) -> list[float]:
    """Time; whether answered; errors (mm) of the prediction, holding, constant velocity; inside near and far.

    ``truth`` (2, 3) is where the tissue is that is at `POINTS` of the volume. Errors are in the volume's axes.
    """
    if prediction is None:
        return [time, 0.0] + [np.nan] * 5
    off = apply(prediction.motion, truth) - POINTS
    errors = [np.linalg.norm(off[0]), *(np.linalg.norm(apply(each, truth[0]) - POINTS[0]) for each in guesses)]
    spread = [seen @ prediction.covariance @ seen.T for seen in SEEN]
    inside = [float(each @ np.linalg.solve(matrix, each) < INSIDE) for each, matrix in zip(off, spread, strict=True)]
    return [time, 1.0, *errors, *inside]


def line(rows: Array) -> str:
    """The columns of the table from the errors on."""
    answered = rows[rows[:, 1] == 1.0]
    silent = f"{100.0 * (1.0 - len(answered) / len(rows)):.0f} %"
    if len(answered) == 0:
        return "| ".join(["- "] * 7 + [silent])
    late = answered[answered[:, 0] > LEARNING]
    errors = [f"{np.sqrt(np.mean(each**2)):.2f} | {np.quantile(each, 0.95):.2f}" for each in late[:, 2:5].T]
    inside = " / ".join(f"{100.0 * share:.0f}" for share in answered[:, 5:].mean(axis=0))
    return " | ".join([*errors, f"{inside} %", silent])


if __name__ == "__main__":
    sys.exit(main())
