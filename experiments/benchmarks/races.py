"""Ours beside what a user would pick instead, in turns.

Machines are noisy and differ, so a figure is a ratio of two things that one process did by turns,
and a median over turns. A ratio above 1 always means that ours is better.
"""

import importlib.util
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

Figure = Callable[[], float]  # runs once and says how fast, or how large, it was

_LESS_IS_BETTER = ("s", "MB")
_TOLERANCE = 1e-4
_ABSENT = "PyTorch is not installed: pip install '.[bench]'"


class Peer(NamedTuple):
    """One who does the same.

    Attributes:
      name: for people.
      figure: as that of ours; None where it cannot run here.
      goal: the ratio that is wanted, None where nobody said one.
      suffix: of the row's name.
      reason: why it cannot run.
    """

    name: str
    figure: Figure | None
    goal: float | None = None
    suffix: str = ""
    reason: str | None = None


class Race(NamedTuple):
    """Ours and its peers.

    Attributes:
      words: what is compared, with its size.
      unit: of all figures; of "s" and "MB" less is better, of everything else more.
      n: images, auditors or queries of a run.
      ours: a figure of ours.
      peers: who else runs.
      turns: runs of each, where the user does not say.
      warm: whether each runs once before, to compile.
    """

    words: str
    unit: str
    n: int
    ours: Figure
    peers: Sequence[Peer]
    turns: int = 9
    warm: bool = True


def seconds(run: Callable[[], Any]) -> Figure:
    """How long a run takes; what it returns is ready."""

    def figure() -> float:
        begin = time.perf_counter()
        run()
        return time.perf_counter() - begin

    return figure


def rate(run: Callable[[], Any], count: float) -> Figure:
    """How many of the `count` that a run does it does in a second."""
    taken = seconds(run)
    return lambda: count / taken()


def cores() -> int:
    """Processors that this process may use: as many threads has every peer."""
    return len(os.sched_getaffinity(0))


def torch_peer(
    name: str, build: Callable[[Any], Figure], goal: float | None = None, suffix: str = ""
) -> Peer:
    """A peer in PyTorch, which need not be installed.

    Args:
      name: for people.
      build: takes the module `torch_peers`.
      goal, suffix: as those of a `Peer`.
    """
    if importlib.util.find_spec("torch") is None:
        return Peer(name, None, goal, suffix, _ABSENT)
    from experiments.benchmarks import torch_peers  # imports PyTorch

    return Peer(name, build(torch_peers), goal, suffix)


def check_same(
    ours: np.ndarray, theirs: np.ndarray, who: str, tolerance: float = _TOLERANCE
) -> None:
    """Those who race must give the same.

    Raises:
      ArithmeticError: results differ by more than `tolerance` of the greatest value.
    """
    ours, theirs = (np.asarray(x, np.float32) for x in (ours, theirs))
    error = np.abs(ours - theirs).max() / np.abs(theirs).max()
    if not error <= tolerance:
        raise ArithmeticError(f"{who}: its results differ from ours by {error:.1e}")


def measure(name: str, race: Race, turns: int | None = None) -> list[dict[str, Any]]:
    """Runs ours and its peers by turns.

    Returns:
      a row for each peer: {"name": with the peer's suffix, "words", "ours", "peer": medians of
      figures, "peer_name", "unit", "ratio": median of a turn's, above 1 where ours is better,
      "ratio_range": [least, most], "turns", "goal", "met": whether the ratio reaches the goal, "n"}
      with a "reason" where a peer is absent, whose figures are None.
    """
    turns = turns or race.turns
    figures = [race.ours, *(peer.figure for peer in race.peers if peer.figure)]
    if race.warm:
        for figure in figures:
            figure()
    bar = tqdm(range(turns), name, leave=False)
    ours, *others = np.array([[figure() for figure in figures] for _ in bar]).T
    columns, rows = iter(others), []
    for peer in race.peers:
        row = {"name": name + peer.suffix, "words": race.words, "ours": float(np.median(ours))}
        row |= {"peer": None, "peer_name": peer.name, "unit": race.unit, "ratio": None}
        row |= {"ratio_range": None, "turns": turns, "goal": peer.goal, "met": None, "n": race.n}
        if peer.figure:
            row |= _compared(ours, next(columns), race.unit, peer.goal)
        else:
            row["reason"] = peer.reason
        rows.append(row)
    return rows


def _compared(ours: np.ndarray, theirs: np.ndarray, unit: str, goal: float | None) -> dict:
    ratios = theirs / ours if unit in _LESS_IS_BETTER else ours / theirs
    ratio = float(np.median(ratios))
    return {
        "peer": float(np.median(theirs)),
        "ratio": ratio,
        "ratio_range": [float(ratios.min()), float(ratios.max())],
        "met": None if goal is None else ratio >= goal,
    }
