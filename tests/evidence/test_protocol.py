"""Protocols: who trains, who tests, and what controls must read."""

import numpy as np
import pytest

from mint_jax.errors import InputError
from mint_jax.evidence import metrics
from mint_jax.evidence.population import Part, Readings
from mint_jax.evidence.protocol import Plan, Protocol

DIM = 12
PARTS = {
    "bank": 80,
    "train": 80,
    "validation": 40,
    "threshold": 120,
    "calibration": 20,
    "test": 160,
}
FAST = {"fit": {"epochs": 30, "patience": 5, "learning_rate": 2e-2}}


def _population(offset: float, first: int, seed: int) -> dict[str, Part]:
    """Two images a person; the readings of members are moved by `offset` along one direction."""
    rng = np.random.default_rng(seed)
    parts = {}
    for part, n in PARTS.items():
        x = rng.standard_normal((n, DIM)).astype(np.float32)
        x[:, 0] += offset
        noise = rng.standard_normal((n, DIM)).astype(np.float32)
        names = ("conv1", "outcome", "outcome@flip")
        maxima, blind = dict.fromkeys(names, x), dict.fromkeys(names, noise)
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
        "fusion",
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
    for found in (tables["table1"]["conv1"], tables["neighbour"], tables["fusion"]):
        low, high = found["80"]["auc_ci95"]
        assert low - 0.15 < 0.5 < high + 0.15  # one shuffle of 80 people is not its mean


def test_bystanders_are_counted_where_they_are_called_members(sides):
    members, others = sides
    tables = (
        Protocol(members, others, _plan(), sizes=(80,), bystanders=members["test"]).run().tables
    )
    rate = tables["false_member_rate"]["table1"]["conv1"]["80"]["rate"]
    assert rate > 0.6  # the bystanders here look like members


def test_pixels_are_read_without_a_network(sides):
    cells = Protocol(*sides, _plan()).run([("pixels", "pixels", 2)]).tables["pixels"]
    assert set(cells) == {"40", "80"}
    assert abs(cells["80"]["auc"] - 0.5) < 0.15


def test_sides_of_different_sizes_are_balanced(sides):
    members, others = sides
    few = {**others, "test": others["test"].rows(slice(40))}
    tables = Protocol(members, few, _plan()).run([("neighbour", "outcome", 1)]).tables
    assert tables["neighbour"]["80"]["n_test"] == 80


def test_thresholds_come_from_the_threshold_part_of_the_non_members(sides):
    members, others = sides
    job = [("vanilla", "outcome", 1)]
    cell = Protocol(*sides, _plan(), sizes=(80,)).run(job).tables["table1"]["outcome"]["80"]
    assert cell["tpr_at_fpr"]["0.1"] > 0.5 and cell["fpr_at_threshold"]["0.1"] < 0.3
    hard = {**others, "threshold": members["threshold"]}  # as if non-members scored like members
    cell = Protocol(members, hard, _plan(), sizes=(80,)).run(job).tables["table1"]["outcome"]["80"]
    assert cell["tpr_at_fpr"]["0.1"] < 0.3 and cell["fpr_at_threshold"]["0.1"] < 0.01


def test_validation_data_tell_the_auditors_apart(sides):
    found = Protocol(*sides, _plan()).run().validation
    assert set(found) == {
        *("vanilla/conv1", "vanilla/outcome", "neighbour/outcome", "fusion/outcome"),
    }
    assert all(auc > 0.8 for auc in found.values())


def test_a_fused_auditor_knows_the_bank_and_its_training_samples(sides):
    protocol = Protocol(*sides, _plan(), sizes=(40,))
    auditor, score = protocol.trained(("fusion", "outcome", 1))
    assert auditor.fit["banks"] == {"members": 80 + 20, "non_members": 80 + 20}
    assert auditor.layers == ("outcome", "outcome@flip")
    maxima = sides[0]["test"].readings["audited"].maxima
    np.testing.assert_allclose(auditor.score(maxima), score(sides[0]["test"])[0], atol=1e-6)


@pytest.mark.parametrize("kind", ["vanilla", "neighbour", "fusion"])
def test_each_shuffle_has_labels_of_its_own(sides, kind):
    score = Protocol(*sides, _plan(), sizes=(80,), shuffled=True).scorer((kind, "outcome", 12))
    scores = score(sides[0]["test"]), score(sides[1]["test"])
    aucs = np.array([metrics.auc(a, b) for a, b in zip(*scores)])
    assert aucs.std() > 0.05 and abs(aucs.mean() - 0.5) < 0.3  # some the right way, some inverted
    assert len(np.unique(aucs)) == 12


def test_more_samples_than_there_are_is_an_error(sides):
    with pytest.raises(InputError, match="200 training samples"):
        Protocol(*sides, _plan(), sizes=(200,))
