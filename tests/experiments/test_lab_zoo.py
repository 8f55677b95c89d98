"""Networks that never saw the photos as references: what is regressed on what, and what is left."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.linear_model import LinearRegression
from sklearn.metrics import roc_auc_score

from experiments import lab_auditors, lab_pairs, lab_zoo
from mint_jax.errors import InputError

FUSION = {
    "kind": "fusion",
    "parts": [
        {"kind": "neighbours", "views": ["flip", "shift:1:0"]},
        {"kind": "consistency", "layer": "outcome", "views": ["flip", "shift:1:0"]},
        {"kind": "neighbours", "layer": "conv4", "centred": True},
    ],
}
NEAR = {"kind": "fusion", "parts": FUSION["parts"][:1]}
OWN = ("outcome", "outcome@flip", "outcome@shift:1:0", "conv4")


def draw(rng, names, n=160):
    return {name: rng.standard_normal((n, 8)).astype(np.float32) for name in names}


def lab_reading(aad, photos=1, seed=0):
    """Of people with as many photos, half of which the model trained on."""
    n = len(aad["outcome"])
    identities = np.repeat(np.arange(n // photos), photos)
    by = "identity" if photos == 1 else "image"
    members = lab_pairs.halves(identities, by, 1, seed)[0]
    pixels, classes, head = np.zeros((n, 0)), np.zeros(n, int), np.zeros((1, 8))
    return lab_pairs.Reading(aad, {}, pixels, identities, members, classes, head)


@pytest.fixture
def told(monkeypatch):
    """Auditors whose score is the first number of the outcome, louder by whom they know.

    Returns:
      the calls: [(spec, known)].
    """
    calls = []

    def fit(spec, reading, known, seed):
        calls.append((spec, known))
        return lambda rows: reading.aad["outcome"][rows, 0] * (1 + known[0])

    monkeypatch.setattr(lab_auditors, "fit", fit)
    return calls


def test_in_each_fold_scores_and_references_are_of_those_who_know_the_same_people(told):
    rng = np.random.default_rng(0)
    reading = lab_reading(draw(rng, OWN))
    outside = [draw(rng, ("outcome",)) for _ in range(3)]
    for aad in outside:
        reading.aad["outcome"][:, 0] += aad["outcome"][:, 0]
    alone, found = lab_zoo.conditional_scores(FUSION, reading, outside, 0)
    assert alone.shape == (3, 160) and list(found) == [1, 2, 3]
    first, second = lab_auditors.cut(reading, 0.5, 0)
    assert first[0] != second[0]
    x = np.stack([aad["outcome"][:, 0] for aad in outside], axis=1)
    for known, asked in ((first, second), (second, first)):
        loud = 1 + known[0]
        np.testing.assert_allclose(alone[:, asked], loud * x[asked].T, rtol=1e-6)
        others = known[~reading.members[known]]
        own = loud * reading.aad["outcome"][:, 0]
        for count, (residuals, _) in found.items():
            columns = loud * x[:, :count]
            line = LinearRegression().fit(columns[others], own[others])
            expected = own[asked] - line.predict(columns[asked])
            np.testing.assert_allclose(residuals[asked], expected, rtol=1e-4, atol=1e-4)
    r2 = [r2 for _, r2 in found.values()]
    assert 0.1 < r2[0] < r2[1] < r2[2] < 0.9


def test_what_photos_have_in_common_is_taken_out_and_the_difference_stays(told):
    """d' of the members, 1, was under twice as much noise that the network shares."""
    rng = np.random.default_rng(1)
    reading, other = lab_reading(draw(rng, OWN, 6000)), draw(rng, ("outcome",), 6000)
    reading.aad["outcome"][:, 0] += reading.members + 2 * other["outcome"][:, 0]
    (alone,), found = lab_zoo.conditional_scores(FUSION, reading, [other], 0)
    residuals, r2 = found[1]
    assert r2 == pytest.approx(4 / 5, abs=0.02)
    aucs = []
    for fold in lab_auditors.cut(reading, 0.5, 0):  # they are of another loudness here
        members = reading.members[fold]
        assert roc_auc_score(members, reading.aad["outcome"][fold, 0]) < 0.65
        assert roc_auc_score(members, alone[fold]) == pytest.approx(0.5, abs=0.04)
        aucs.append(roc_auc_score(members, residuals[fold]))
    assert np.mean(aucs) == pytest.approx(norm.cdf(1 / np.sqrt(2)), abs=0.02)


def test_of_a_network_the_auditor_reads_what_was_read(told):
    rng = np.random.default_rng(0)
    reading = lab_reading(draw(rng, OWN))
    outside = [draw(rng, names) for names in (("outcome", "outcome@flip", "conv4"), ("outcome",))]
    lab_zoo.conditional_scores(FUSION, reading, outside, 0)
    (own, known), (mirrored, same), (bare, again), *_ = told
    assert [part["views"] for part in own["parts"]] == [["flip", "shift:1:0"]] * 2 + [[]]
    assert [(p["kind"], p["views"]) for p in mirrored["parts"]] == [
        ("neighbours", ["flip"]),
        ("consistency", ["flip"]),
        ("neighbours", []),
    ]
    assert bare["parts"] == [{"kind": "neighbours", "views": []}]
    assert known is same is again


def test_the_truth_about_people_who_are_asked_about_is_not_read():
    rng = np.random.default_rng(0)
    reading, outside = lab_reading(draw(rng, OWN), photos=4), [draw(rng, ("outcome",))]
    _, asked = lab_auditors.cut(reading, 0.5, 0)
    members = reading.members.copy()
    members[asked] = ~members[asked]
    other = dataclasses.replace(reading, members=members)
    kept, changed = (lab_zoo.conditional_scores(NEAR, r, outside, 0) for r in (reading, other))
    np.testing.assert_array_equal(kept[0][:, asked], changed[0][:, asked])
    np.testing.assert_array_equal(kept[1][1][0][asked], changed[1][1][0][asked])


def test_a_network_that_saw_nobody_says_nothing_of_who_was_trained_on():
    aucs, rng = [], np.random.default_rng(0)
    for seed in range(6):
        reading = lab_reading(draw(rng, OWN), seed=seed)
        reading.aad["outcome"][reading.members] += 1
        (alone,), _ = lab_zoo.conditional_scores(NEAR, reading, [draw(rng, ("outcome",))], 0)
        aucs.append(roc_auc_score(reading.members, alone))
    assert np.mean(aucs) == pytest.approx(0.5, abs=0.08)  # 4 standard deviations


def test_an_audited_model_is_no_reference():
    network = SimpleNamespace(sha256="2", name="model 2")
    models = SimpleNamespace(audited=np.array([0, 2]), sha256=str, read_by=lambda x: x)
    with pytest.raises(InputError, match=r"runs/02: this is model 2 of the lab, which is audited"):
        lab_zoo.read({"runs/02": network}, models)
    other = SimpleNamespace(sha256="1")
    assert lab_zoo.read({"A.onnx": other}, models) == [other]
