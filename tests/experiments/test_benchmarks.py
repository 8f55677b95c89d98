"""What is timed gives what it should, and times are told by turns."""

import jax
import numpy as np
import pytest

from experiments import benchmarks
from experiments.benchmarks import Pair, measure


def test_the_search_finds_what_the_product_finds():
    pair = benchmarks.search(bank=300, queries=2100, width=16)
    found = [
        np.concatenate([part[0] for part in pair.ours()])[:, 0],
        np.concatenate(pair.reference()),
    ]
    np.testing.assert_allclose(*found, atol=1e-6)
    assert found[0].shape == (2100,)


def test_both_convolutions_have_the_same_gradients():
    pair = benchmarks.small_maps(batch=3, channels=5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-6), *(f() for f in pair[:2])
    )


def test_a_ratio_is_of_turns(monkeypatch):
    now, order = [0.0], []

    def takes(name, seconds):
        left = iter([100.0, *seconds])  # the first run compiles

        def run():
            order.append(name)
            now[0] += next(left)

        return run

    monkeypatch.setattr(benchmarks.time, "perf_counter", lambda: now[0])
    found = measure(Pair(takes("a", (1, 9, 4)), takes("b", (2, 3, 2)), "a and b"), turns=3)
    assert order == ["a", "b"] * 4
    assert (found["ours"], found["reference"]) == (4, 2)
    assert found["ratio"] == pytest.approx(2.0) and found["ratio_range"] == [0.5, 3.0]
