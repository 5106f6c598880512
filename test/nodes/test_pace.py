"""Which samples are sent."""

import numpy as np
import pytest

from deeprs2v_ros.nodes.running.pace import Pace

MS = 1_000_000


def picked(rate, stamps):
    pace = Pace(rate)
    return [stamp for stamp in stamps if pace.due(stamp)]


def test_every_second_sample_at_half_the_rate():
    assert picked(50.0, [k * 10 * MS for k in range(100)]) == [k * 20 * MS for k in range(50)]


def test_slower_samples_are_all_picked():
    stamps = [k * 33 * MS for k in range(20)]
    assert picked(50.0, stamps) == stamps


@pytest.mark.parametrize("interval", [2, 7, 10, 15])
def test_the_rate_is_met_on_average_and_no_gap_is_long_whatever_the_jitter(interval):
    rng = np.random.default_rng(1)
    stamps = np.cumsum(rng.uniform(0.8, 1.2, 2000) * interval * MS).astype(int).tolist()
    found = picked(50.0, stamps)
    rate = 1e9 * (len(found) - 1) / (found[-1] - found[0])
    assert rate == pytest.approx(50.0, rel=0.05)
    assert max(np.diff(found)) <= (20 + 1.3 * interval) * MS


def test_after_a_pause_it_goes_on_at_once_and_evenly():
    stamps = [k * 10 * MS for k in range(10)] + [(1007 + k * 10) * MS for k in range(10)]
    assert picked(50.0, stamps)[5:] == [(1007 + k * 20) * MS for k in range(5)]


def test_one_stamp_far_ahead_does_not_silence_it():
    stamps = [0, 10 * MS, 10**18, 30 * MS, 40 * MS, 50 * MS]
    assert {30 * MS, 50 * MS} <= set(picked(50.0, stamps))


def test_after_a_reset_the_next_one_is_picked():
    pace = Pace(1.0)
    assert pace.due(5 * MS)
    assert not pace.due(6 * MS)
    pace.reset()
    assert pace.due(7 * MS)
