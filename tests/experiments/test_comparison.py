"""Figures of a lab's models: which of them are measured, and by whom."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from experiments import comparison, lab_auditors, lab_pairs


def bench(by, photos=4, people=50):
    identities = np.random.default_rng(0).permutation(np.repeat(np.arange(people), photos))
    members = lab_pairs.halves(identities, by, 5, seed=0)[::2]
    return comparison.Bench(by, identities, members, np.arange(5) < 2)


def test_models_that_choose_are_not_tested():
    found, rng = bench("identity"), np.random.default_rng(1)
    scores = rng.standard_normal(found.members.shape)
    scores[:2] += 10 * found.members[:2]
    cell = found.measure(scores)
    aucs = [roc_auc_score(m, s) for m, s in zip(found.members, scores)]
    assert cell["auc"] == pytest.approx(np.mean(aucs[2:])) and cell["validation_auc"] == 1
    assert (cell["models"], cell["n_test"]) == (3, 600)


def test_a_person_is_the_mean_of_the_photos():
    found, rng = bench("identity"), np.random.default_rng(1)
    scores = rng.standard_normal(found.members.shape) + 0.5 * found.members
    cell = found.measure(scores)
    aucs = []
    for members, row in zip(found.members[2:], scores[2:]):
        own = [found.identities == person for person in range(50)]
        aucs.append(roc_auc_score([members[o][0] for o in own], [row[o].mean() for o in own]))
    assert cell["person"]["auc"] == pytest.approx(np.mean(aucs))
    assert cell["person"]["n_test"] == 150 and cell["person"]["auc"] > cell["auc"]
    assert "image_given_person" not in cell


def test_given_the_person_what_people_have_in_common_is_no_difference():
    found, rng = bench("image"), np.random.default_rng(1)
    level = rng.normal(0, 5, 50)[found.identities]
    scores = level + rng.standard_normal(found.members.shape) + 2 * found.members
    cell, level_free = found.measure(scores), found.measure(scores - level)
    assert cell["image_given_person"] == level_free["image_given_person"]
    assert cell["image_given_person"]["auc"] > 0.9 > 0.7 > cell["auc"]
    assert "person" not in cell
    alone = bench("identity", photos=1)
    assert not {"person", "image_given_person"} & alone.measure(rng.random((5, 50))).keys()


def test_references_are_drawn_among_models_that_did_not_see_the_photo():
    in_mask = lab_pairs.halves(np.repeat(np.arange(30), 2), "image", 4, 0)
    marks = np.where(in_mask, -1, np.arange(8)[:, None])
    drawn = comparison._unseen(marks, in_mask, 4, np.random.default_rng(0))
    assert drawn.shape == (60, 4) and (drawn >= 0).all()
    assert (np.sort(drawn)[:, 1:] > np.sort(drawn)[:, :-1]).all()
    assert len(np.unique(drawn[:, 0])) == 8


def test_told_another_models_members_an_auditor_finds_nothing():
    """The embeddings tell the model's own members from the others, and nothing else."""
    found, rng = bench("identity"), np.random.default_rng(0)
    masks = np.concatenate([found.members, ~found.members])[[0, 5, 1, 6, 2, 7, 3, 8, 4, 9]]
    own = {i: rng.standard_normal((200, 8)) + 2 * masks[i, :, None] for i in range(10)}

    def reading(i):
        empty = np.zeros((200, 0)), np.zeros(200, int), np.zeros((1, 8))
        aad = {"outcome": own[i].astype(np.float32)}
        return lab_pairs.Reading(aad, {}, empty[0], found.identities, masks[i], *empty[1:])

    models = SimpleNamespace(audited=np.arange(0, 10, 2), in_mask=masks, reading=reading)
    spec = {"kind": "fusion", "parts": [{"kind": "neighbours"}]}
    null = comparison._null(models, found, spec, 0)
    assert null["models"] == 3 and null["auc_ci95"][0] < 0.5 < null["auc_ci95"][1]
    assert null["auc"] < 0.65
    score = lab_auditors.cross_scores(
        lambda known: lab_auditors.fit(spec, reading(4), known, 0), reading(4), 0
    )
    assert roc_auc_score(masks[4], score) > 0.9


def test_means_over_models_have_students_interval():
    values = np.random.default_rng(0).normal(0.3, 0.1, 7)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = comparison._mean("r2", values)
    assert found["r2"] == pytest.approx(values.mean())
    np.testing.assert_allclose(found["r2_ci95"], [expected.low, expected.high])
