"""The gate is learnt: it separates what can be separated, and is strict where that costs little."""

from dataclasses import replace

import numpy as np
import pytest

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.registration.gate import Reason, Signals, judge
from deeprs2v_ros.registration.settings import GateSettings
from deeprs2v_ros.training.gate_learning import Sample, learn_gate

GOOD = Signals(lncc=0.8, overlap=0.9, margin=0.4, sigma=0.1, surprise=0.8, translation=5.0, rotation=3.0)
OPEN = GateSettings(
    minimum_lncc=-1.0, minimum_margin=-np.inf, maximum_sigma=np.inf, maximum_surprise=np.inf
)  # fmt: skip


def samples(count, error, rng, **centres):
    drawn = []
    for _ in range(count):
        values = {name: float(rng.normal(centre, 0.03)) for name, centre in centres.items()}
        drawn.append(Sample(replace(GOOD, **values), error))
    return drawn


def passing(some, gate):
    return [judge(sample.signals, gate) is Reason.NONE for sample in some]


def test_wrong_results_that_one_signal_gives_away_are_kept_out_and_right_ones_pass():
    rng = np.random.default_rng(0)
    right, wrong = samples(300, 0.3, rng, lncc=0.8), samples(100, 12.0, rng, lncc=0.4)
    gate = learn_gate(right + wrong, OPEN)
    assert not any(passing(wrong, gate))
    assert np.mean(passing(right, gate)) > 0.93
    assert 0.45 < gate.minimum_lncc < 0.77


def test_wrong_results_of_two_kinds_need_two_lines():
    """LNCC alone will not do: on wires, wrong poses can score more than right ones elsewhere."""
    rng = np.random.default_rng(1)
    right = samples(300, 0.3, rng, lncc=0.6, sigma=0.15)
    wires, homogeneous = samples(60, 9.0, rng, lncc=0.8, margin=0.05), samples(60, 9.0, rng, sigma=0.6)
    gate = learn_gate([*right, *wires, *homogeneous], OPEN)
    assert not any(passing([*wires, *homogeneous], gate))
    assert np.mean(passing(right, gate)) > 0.9


def test_where_nothing_is_wrong_only_the_few_least_likely_are_kept_out():
    right = samples(100, 0.3, np.random.default_rng(2), lncc=0.8, sigma=0.1)
    passed = passing(right, learn_gate(right, OPEN))
    assert 0.93 < np.mean(passed) < 1.0


def test_what_is_implausible_anyway_teaches_nothing():
    rng = np.random.default_rng(3)
    right = samples(100, 0.3, rng, lncc=0.5)
    outside = [Sample(replace(GOOD, lncc=0.45, overlap=0.0), 30.0)] * 50
    assert learn_gate(right + outside, OPEN) == learn_gate(right, OPEN)


def test_a_line_keeps_its_distance_from_the_wrong_results_that_were_seen():
    rng = np.random.default_rng(4)
    right, wrong = samples(200, 0.3, rng, lncc=0.7), samples(50, 9.0, rng, lncc=0.4)
    gate = learn_gate(right + wrong, OPEN)
    assert gate.minimum_lncc > max(sample.signals.lncc for sample in wrong) + 0.01


def test_what_cannot_be_separated_is_said():
    rng = np.random.default_rng(5)
    alike = [Sample(replace(GOOD, lncc=0.8), error) for error in (0.3, 9.0)] * 20
    rng.shuffle(alike)
    with pytest.raises(InputError, match="no lines tell the 20 wrong results"):
        learn_gate(alike, OPEN)


def test_without_a_right_result_there_is_nothing_to_learn():
    with pytest.raises(InputError, match="of 20 results none is right"):
        learn_gate([Sample(GOOD, 9.0)] * 20, OPEN)


def test_what_is_always_the_same_is_no_line():
    """Without a correction nothing is compared, and every margin is 1."""
    rng = np.random.default_rng(6)
    right, wrong = samples(200, 0.3, rng, lncc=0.7), samples(50, 9.0, rng, lncc=0.4)
    assert learn_gate(right + wrong, GateSettings()).minimum_margin == GateSettings().minimum_margin
