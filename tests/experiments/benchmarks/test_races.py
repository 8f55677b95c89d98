"""Times are told by turns, and a ratio above 1 is in our favour."""

import numpy as np
import pytest

from experiments.benchmarks import races
from experiments.benchmarks.races import Peer, Race, check_same, measure, rate, seconds


def says(name, values, order):
    left = iter(values)

    def figure():
        order.append(name)
        return next(left)

    return figure


def test_medians_of_turns():
    order = []
    peer = Peer("b", says("b", (90.0, 2.0, 3.0, 2.0), order), goal=0.6)
    race = Race("words", "s", 7, says("a", (100.0, 1.0, 9.0, 4.0), order), [peer])
    (row,) = measure("race", race, turns=3)
    assert order == ["a", "b"] * 4
    assert row == {
        "name": "race",
        "words": "words",
        "ours": 4.0,
        "peer": 2.0,
        "peer_name": "b",
        "unit": "s",
        "ratio": 0.5,
        "ratio_range": [pytest.approx(1 / 3), 2.0],
        "turns": 3,
        "goal": 0.6,
        "met": False,
        "n": 7,
    }


@pytest.mark.parametrize("unit", ["s", "MB", "images/s", "TFLOP/s", "times"])
def test_above_1_is_better(unit):
    better = 2.0 if unit in ("s", "MB") else 8.0
    race = Race("words", unit, 1, lambda: better, [Peer("b", lambda: 4.0, 2.0)], 1)
    (row,) = measure("race", race)
    assert row["ratio"] == 2.0 and row["met"] is True


def test_who_is_absent_has_a_row():
    order = []
    peers = [
        Peer("gone", None, 10.0, reason="not here"),
        Peer("b", says("b", (1.0, 3.0), order), suffix="_b"),
    ]
    race = Race("words", "s", 1, says("a", (2.0, 6.0), order), peers, turns=2, warm=False)
    gone, here = measure("race", race)
    assert order == ["a", "b"] * 2
    assert (gone["name"], gone["ours"], gone["reason"]) == ("race", 4.0, "not here")
    assert {gone[key] for key in ("peer", "ratio", "ratio_range", "met")} == {None}
    assert (here["name"], here["ratio"], here["met"]) == ("race_b", 0.5, None)
    assert "reason" not in here


def test_pytorch_need_not_be_installed(monkeypatch):
    monkeypatch.setattr(races.importlib.util, "find_spec", lambda name: None)
    peer = races.torch_peer("torch", None, goal=2.0, suffix="_torch")
    assert peer.figure is None and peer.goal == 2.0 and "'.[bench]'" in peer.reason


def test_figures_of_a_clock(monkeypatch):
    now = iter([10.0, 14.0, 20.0, 22.0])
    monkeypatch.setattr(races.time, "perf_counter", lambda: next(now))
    assert seconds(lambda: None)() == 4.0
    assert rate(lambda: None, 30)() == 15.0


def test_other_results_do_not_race():
    ours = np.float32([1.0, -4.0])
    check_same(ours, ours + np.float32([0, 3e-4]), "them")
    for theirs in (ours + np.float32([0, 5e-4]), np.float32([1.0, np.nan])):
        with pytest.raises(ArithmeticError, match="them: its results differ"):
            check_same(ours, theirs, "them")
