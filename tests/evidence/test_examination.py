"""The evidence of a protocol: who finds members beats every rival, who does not is not believed."""

import numpy as np
import pytest

from mint_jax.evidence import operating
from mint_jax.evidence.examination import Examination, Question, Scores, by_image
from mint_jax.evidence.population import Part, Readings
from mint_jax.evidence.protocol import Plan

DIM = 8
PARTS = {
    "bank": 60, "train": 80, "validation": 60, "threshold": 1000, "calibration": 240, "test": 1000,
}  # fmt: skip
NETWORKS = ("random_network", "random_network_1", "other_network")


def _population(offset, first, seed, *, collection=0.0, databases=1):
    """Two images a person. Members' readings of the audited network are moved by `offset`;
    `collection` moves what every network and the pixels say."""
    rng, parts = np.random.default_rng(seed), {}
    for part, n in PARTS.items():

        def read(moved, n=n):
            x = rng.standard_normal((n, DIM)).astype(np.float32)
            x[:, 0] += moved
            return Readings({"conv1": x, "outcome": x})

        readings = {name: read(collection) for name in NETWORKS}
        readings["audited"] = read(offset + collection)
        readings["same_preparation"] = readings["audited"]
        changed = Readings({k: v * 0.5 for k, v in readings["audited"].maxima.items()})
        readings["recompressed"] = changed
        pixels = rng.standard_normal((n, 3)).astype(np.float32) + np.float32(collection)
        people = first + np.arange(n) // 2
        parts[part] = Part(people, readings, pixels, np.arange(n) // 2 % databases)
        first += n
    return parts


def _question(offset, **options):
    collection = options.pop("collection", 0.0)
    members = _population(offset, 0, 1, collection=collection)
    others = _population(0.0, 1 << 32, 2, databases=2)
    fast = {"fit": {"epochs": 60, "patience": 10, "learning_rate": 2e-2}}
    plan = Plan(("conv1", "outcome"), "abc", (40, 80), seeds=1, cnn_seeds=0, vanilla=fast)
    asked = {
        "validation": {"vanilla/conv1": 0.7, "vanilla/outcome": 0.6, "cnn/conv1": 0.99},
        "matched": True,
        "networks": {"random_network": NETWORKS[:2], "other_network": NETWORKS[2:]},
        "shuffles": 10,
        "changes": {"recompressed": "compressed again"},
    }
    return Question(members, others, plan, **asked | options)


@pytest.fixture(scope="module")
def found():
    unused = _population(0.5, 2 << 32, 3)
    norms = [np.random.default_rng(i).normal(size=(1, 1000)) for i in range(3)]
    return Examination(
        _question(
            3.0,
            unused=unused,
            databases=("a", "b"),
            baselines={"norm": Scores(*norms)},
            attributes={"gender": np.repeat(["female", "male"], 500)},
        )
    ).block


def test_what_is_there_is_found_beside_every_rival(found):
    assert found["auditor"]["kind"] == "vanilla" and found["auditor"]["layer"] == "conv1"
    point = found["operating_points"]["0.01"]
    assert point["tpr"] > 0.4 and point["fpr"] < 0.03  # three deviations apart: .75 at best
    assert found["operating_points"]["0.001"] is None
    names = [c["name"] for c in found["controls"]]
    assert names == ["pixels", "random_network", "other_network", "shuffled_labels"]
    assert [c["replicates"] for c in found["controls"]] == [1, 2, 1, 10]
    for control in found["controls"]:
        assert control["tpr"] < 0.15 and control["advantage_lower95"] > 0.2
        assert (control["n_members"], control["n_non_members"]) == (1000, 1000)
        for rate in ("tpr", "fpr", "auc"):
            low, high = control[f"{rate}_ci95"]
            assert low <= control[rate] <= high
    gate = found["gate"]
    assert gate["passed"] and gate["reasons"] == []
    assert gate["smallest_advantage"] == min(c["advantage_lower95"] for c in found["controls"])
    assert found["headline"].startswith("At a false-alarm rate of 1%")


def test_everything_beside_it(found):
    assert abs(found["baselines"][0]["auc"] - 0.5) < 0.05
    assert found["baselines"][0]["access"] == "embedding"
    assert found["baselines"][0]["n_members"] == found["baselines"][0]["n_non_members"] == 1000
    image, identity = (found["splits"][name] for name in ("image", "identity"))
    assert image["n_test"] == identity["n_test"] == 2000
    assert [row["database"] for row in found["left_out"]] in (["a", "b"], ["b", "a"])
    assert found["left_out"][0]["auc"] <= found["left_out"][1]["auc"]
    assert found["left_out"][0]["n_test"] == 1500
    for row in found["left_out"]:
        assert (row["n_members"], row["n_non_members"]) == (1000, 500)
        assert row["tpr"] is row["tpr_ci95"] is None  # 500 non-members do not support 1%
    compressed, alike = found["robustness"]
    assert compressed["change"] == "compressed again"
    assert compressed["tpr"] < found["operating_points"]["0.01"]["tpr"] - 0.1
    assert alike["tpr"] == pytest.approx(found["operating_points"]["0.01"]["tpr"], abs=1e-6)
    for name in ("tpr", "tpr_ci95", "fpr", "fpr_ci95", "n_members", "n_non_members"):
        assert alike[name] == pytest.approx(found["operating_points"]["0.01"][name], abs=1e-6)
    low, high = compressed["tpr_ci95"]
    assert low < compressed["tpr"] < high
    assert found["likelihood"]["cllr"] < 0.6
    assert [row["n"] for row in found["fairness"]] == [500, 500]
    shares = [row["fpr"] for row in found["fairness"]]
    assert np.mean(shares) == pytest.approx(found["operating_points"]["0.01"]["fpr"])
    assert found["fairness_tests"][0]["p"] > 0.001
    people = found["people"]
    assert people["k"] == 2 and people["persons_calibration"] == 120
    assert people["power"]["0.05"]["rate"] > 0.9 > 0.15 > people["false_alarms"]["0.05"]["rate"]
    image = found["h0_image"]
    assert image["n_calibration"] == 120
    assert image["power"]["0.05"]["rate"] > 0.3 and image["false_alarms"]["0.05"]["rate"] < 0.15


def test_a_model_that_keeps_nothing_is_not_called_guilty():
    found = Examination(_question(0.0)).block
    assert not found["gate"]["passed"] and found["headline"] == operating.CANNOT
    assert found["people"]["power"]["0.05"]["rate"] < 0.15
    assert found["h0_image"] is None and found["left_out"] == []


def test_the_collection_is_not_membership():
    """Every network and the pixels tell the sides apart: no advantage is left."""
    found = Examination(_question(0.0, collection=3.0)).block
    assert found["operating_points"]["0.01"]["tpr"] > 0.4
    assert not found["gate"]["passed"] and found["headline"] == operating.CANNOT
    assert "pixels" in " ".join(found["gate"]["reasons"])


def test_without_a_matched_split_nothing_can_be_determined():
    found = Examination(_question(3.0, matched=False, shuffles=0)).block
    assert found["gate"]["smallest_advantage"] > 0.2
    assert found["headline"] == operating.CANNOT
    assert "own collection" in found["gate"]["reasons"][0]


def test_a_cut_by_image_keeps_the_images_and_tears_people_apart():
    population = _population(1.0, 0, 1)
    cut = by_image(population, 0)
    assert {k: len(p.identities) for k, p in cut.items()} == PARTS
    people = [set(part.identities.tolist()) for part in cut.values()]
    assert sum(map(len, people)) > len(set.union(*people))
    before, after = (
        np.concatenate([p.readings["audited"].maxima["outcome"][:, 1] for p in x.values()])
        for x in (population, cut)
    )
    np.testing.assert_array_equal(np.sort(before), np.sort(after))
