"""Protocols: who trains, who tests, and what controls must read."""

import numpy as np
import pytest

from mint_jax.errors import InputError
from mint_jax.evidence.protocol import Part, Plan, Protocol, Readings, draw, shuffle_people

DIM = 12
PARTS = {"bank": 80, "train": 80, "calibration": 20, "test": 160}
FAST = {"fit": {"epochs": 30, "patience": 5, "learning_rate": 2e-2}}


def _population(offset: float, first: int, seed: int) -> dict[str, Part]:
    """Two images a person; the readings of members are moved by `offset` along one direction."""
    rng = np.random.default_rng(seed)
    parts = {}
    for part, n in PARTS.items():
        x = rng.standard_normal((n, DIM)).astype(np.float32)
        x[:, 0] += offset
        noise = rng.standard_normal((n, DIM)).astype(np.float32)
        maxima = {"conv1": x, "outcome": x, "all_conv": x}
        blind = {"conv1": noise, "outcome": noise, "all_conv": noise}
        readings = {"audited": Readings(maxima), "random_network": Readings(blind)}
        parts[part] = Part(first + np.arange(n) // 2, readings, noise)
        first += n
    return parts


@pytest.fixture(scope="module")
def sides():
    return _population(3.0, 0, 1), _population(0.0, 10_000, 2)


def _plan(**kw) -> Plan:
    layers = ("conv1", "outcome")
    return Plan(layers, "abc", (40, 80), seeds=2, cnn_seeds=0, vanilla=FAST, **kw)


@pytest.mark.parametrize("size", [10, 40, 80])
def test_a_draw_is_balanced_and_keeps_people_together(size):
    labels = np.repeat([1, 0], 60)
    identities = np.arange(120) // 3
    train, held = draw(labels, identities, size, 0.2, seed=3)
    assert not (train & held).any()
    for label in (0, 1):
        assert (train | held)[labels == label].sum() == size // 2
    assert not set(identities[train]) & set(identities[held])
    assert 0.1 <= held.sum() / size <= 0.5
    again = draw(labels, identities, size, 0.2, seed=3)
    np.testing.assert_array_equal(train, again[0])
    assert (draw(labels, identities, size, 0.2, seed=4)[0] != train).any()


def test_shuffling_moves_people_whole_and_keeps_their_number():
    labels = np.repeat([1, 0], 60)
    identities = np.arange(120) // 3
    shuffled = shuffle_people(labels, identities, seed=0)
    assert shuffled.sum() == labels.sum()
    assert all(len(set(shuffled[identities == i])) == 1 for i in range(40))
    assert 0.2 < (shuffled != labels).mean() < 0.8


def test_an_auditor_finds_a_difference_that_is_there(sides):
    outcome = Protocol(*sides, _plan()).run()
    cell = outcome.tables["table1"]["conv1"]["80"]
    assert cell["auc"] > 0.8  # Gaussians three deviations apart: .98 at best
    assert cell["n_test"] == 2 * PARTS["test"] and cell["seeds"] == 2
    assert set(outcome.tables["table1"]["conv1"]) == {"40", "80"}
    assert set(outcome.auditors) == {
        "vanilla_conv1",
        "vanilla_outcome",
        "neighbour",
    }
    assert outcome.scores["table1/conv1/80"]["scores"].shape == (2 * PARTS["test"],)


def test_an_exported_auditor_carries_calibration_scores_of_its_own_part(sides):
    auditor = Protocol(*sides, _plan()).run().auditors["vanilla_conv1"]
    expected = auditor.score({"conv1": sides[0]["calibration"].readings["audited"].maxima["conv1"]})
    np.testing.assert_array_equal(auditor.calibration["members"], expected)
    assert auditor.audited_sha256 == "abc"


@pytest.mark.parametrize("control", [{"network": "random_network"}, {"shuffled": True}])
def test_controls_read_chance(sides, control):
    tables = Protocol(*sides, _plan(), sizes=(80,), **control).run().tables
    for cell in (tables["table1"]["conv1"]["80"], tables["neighbour"]["80"]):
        low, high = cell["auc_ci95"]
        assert low - 0.15 < 0.5 < high + 0.15  # one shuffle of 80 people is not its mean


def test_bystanders_are_counted_where_they_are_called_members(sides):
    members, others = sides
    tables = (
        Protocol(members, others, _plan(), sizes=(80,), bystanders=members["test"]).run().tables
    )
    rate = tables["false_member_rate"]["table1"]["conv1"]["80"]["rate"]
    assert rate > 0.6  # the bystanders here look like members


def test_pixels_are_read_without_a_network(sides):
    cells = Protocol(*sides, _plan()).pixels().tables["pixels"]
    assert set(cells) == {"40", "80"}
    assert abs(cells["80"]["auc"] - 0.5) < 0.15


def test_sides_of_different_sizes_are_balanced(sides):
    members, others = sides
    few = {name: part for name, part in others.items()}
    few["test"] = Part(
        others["test"].identities[:40],
        {
            k: Readings({n: x[:40] for n, x in r.maxima.items()})
            for k, r in others["test"].readings.items()
        },
        others["test"].pixels[:40],
    )
    tables = Protocol(members, few, _plan()).run([("neighbour", "outcome", 1)]).tables
    assert tables["neighbour"]["80"]["n_test"] == 80


def test_more_samples_than_there_are_is_an_error(sides):
    with pytest.raises(InputError, match="200 training samples"):
        Protocol(*sides, _plan(), sizes=(200,))
