"""Reference models: halves, readings, and attacks where their AUC is known."""

import json
import subprocess
import sys

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from experiments import lab_attacks, lab_references
from experiments.configs import reference_models
from mint_jax import audited, baselines, lab
from mint_jax.audited import iresnet_model
from mint_jax.errors import InputError

TINY = "identities=16,pairs=3,epochs=1,batch_size=8"


@pytest.mark.parametrize("by", ["image", "identity"])
def test_every_photo_is_in_half_of_the_references_of_every_model(by):
    identities = np.repeat(np.arange(30), 4)[np.random.default_rng(0).permutation(120)]
    drawn = lab_references.halves(identities, by, pairs=5, seed=1)
    assert drawn.shape == (10, 120)
    np.testing.assert_array_equal(drawn[1::2], ~drawn[::2])
    each = np.stack([np.bincount(identities, row) for row in drawn])
    if by == "image":
        assert (each == 2).all()
    else:
        assert np.isin(each, (0, 4)).all() and (drawn.sum(axis=1) == 60).all()
    assert len(np.unique(drawn, axis=0)) == 10
    for target in range(10):
        references = np.delete(drawn, [target, target ^ 1], axis=0)
        assert (references.sum(axis=0) == 4).all()


def test_photos_that_have_no_half_go_to_either_side():
    drawn = lab_references.halves(np.repeat(np.arange(200), 3), "image", pairs=3, seed=0)
    counts = drawn.reshape(6, 200, 3).sum(axis=2)
    assert set(np.unique(counts)) == {1, 2}
    assert (np.abs(np.mean(counts == 2, axis=1) - 0.5) < 0.15).all()
    with pytest.raises(InputError, match="person 7 has one photo"):
        lab_references.halves(np.array([3, 3, 7]), "image", pairs=3, seed=0)


def gaussian_study(gain, pairs=10, people=600, strangers=300):
    """A scalar N(difficulty + gain, 1) of members and N(difficulty, 1) of the others, three ways.

    A margin is given as it is, a probability as its logit, a cosine as the logit of (1 + c) / 2.
    """
    rng = np.random.default_rng(2)
    identities = np.repeat(np.arange(people), 2)
    in_mask = lab_references.halves(identities, "image", pairs, seed=0)
    difficulty = rng.normal(0, 3, 2 * people + strangers)
    noise = rng.standard_normal((2 * pairs, 2 * people + strangers))
    t = np.clip(difficulty + noise, -12, 12)
    t[:, : 2 * people] += gain * in_mask
    likelihoods = {"neighbour": expit(t), "flip": 2 * expit(t) - 1}
    return lab_references.Study(
        identities,
        in_mask,
        {name: p[:, : 2 * people] for name, p in likelihoods.items()}
        | {"own_margin": t[:, : 2 * people]},
        {name: p[:, 2 * people :] for name, p in likelihoods.items()},
    )


@pytest.fixture(scope="module")
def study():
    return gaussian_study(gain=1.5)


def test_offline_lira_finds_what_a_gaussian_about_a_mean_of_nine_leaves(study):
    """The target less the mean of 9 models without the photo: variance 1 + 1 / 9."""
    found = {}
    for target in range(len(study.in_mask)):
        for key, scores in lab_attacks.attacks(study, target, gamma=1.0):
            found.setdefault(key, []).append(roc_auc_score(study.in_mask[target], scores))
    found = {key: np.mean(aucs) for key, aucs in found.items()}
    offline = norm.cdf(1.5 / np.sqrt(2 * (1 + 1 / 9)))
    assert found["lira_offline", "own_margin"] == pytest.approx(offline, abs=0.01)
    assert offline - 0.03 < found["lira_online", "own_margin"] < norm.cdf(1.5 / np.sqrt(2))
    plain = norm.cdf(1.5 / np.sqrt(2 * (1 + 9)))
    assert found["own_margin", None] == pytest.approx(plain, abs=0.02)
    assert plain + 0.05 < found["rmia", "neighbour"] < offline + 0.01


def test_a_cosine_and_a_probability_are_read_as_logits(study):
    found = dict(lab_attacks.attacks(study, 3, gamma=1.0))
    for name in ("lira_online", "lira_offline"):
        for scalar in ("flip", "neighbour"):
            expected = found[name, "own_margin"]
            np.testing.assert_allclose(found[name, scalar], expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(found["rmia", "flip"], found["rmia", "neighbour"])
    references = np.delete(np.arange(20), [2, 3])
    p, strangers = study.scalars["neighbour"], study.strangers["neighbour"]
    arrays = p[references], study.in_mask[references], p[3], strangers[references], strangers[3]
    assert any(
        np.array_equal(found["rmia", "neighbour"], baselines.rmia(*arrays, a=a, gamma=1.0))
        for a in np.linspace(0, 1, 11)
    )


def test_the_other_half_is_no_reference(study):
    """What the complement says of a photo would be as good as the truth."""
    scalars = {name: t.copy() for name, t in study.scalars.items()}
    for t in scalars.values():
        t[4] = t[4, ::-1]
    other = lab_references.Study(study.identities, study.in_mask, scalars, study.strangers)
    kept, changed = (
        [list(lab_attacks.attacks(s, target, 1.0)) for s in (study, other)] for target in (5, 6)
    )
    for (_, a), (_, b) in zip(*kept):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for (_, a), (_, b) in zip(*changed))


def test_rows_stand_beside_equal_access():
    study = gaussian_study(gain=0.0, pairs=3, people=60, strangers=50)
    rows = lab_attacks.compare(study, gamma=1.0)
    assert [row["access"] for row in rows] == [
        "embedding",
        "known members",
        "head",
        *["reference models"] * 3,
        *["known members and reference models"] * 3,
        *["head and reference models"] * 2,
    ]
    for row in rows:
        assert (row["models"], row["n_test"], row["tpr_at_fpr"]) == (6, 720, None)
        assert row["auc_ci95"][0] < 0.5 < row["auc_ci95"][1]
    plain = next(row for row in rows if row["name"] == "own_margin")
    aucs = [roc_auc_score(m, t) for m, t in zip(study.in_mask, study.scalars["own_margin"])]
    assert plain["auc"] == pytest.approx(np.mean(aucs))


def test_a_neighbour_auditor_knows_other_people_only():
    rng = np.random.default_rng(0)
    identities = np.repeat(np.arange(60), 4)
    members = lab_references.halves(identities[:200], "image", 1, 0)[0]
    embeddings = rng.standard_normal((240, 8)) + np.r_[members, np.zeros(40)][:, None]
    scores = lab_references.neighbour_scores(embeddings, identities, members, seed=0)
    assert roc_auc_score(members, scores[:200]) > 0.8
    own = identities[:200] == 17
    flipped = np.where(own, ~members, members)
    changed = lab_references.neighbour_scores(embeddings, identities, flipped, seed=0) != scores
    assert not changed[:200][own].any() and changed[:200].any() and changed[200:].any()


@pytest.fixture
def config():
    config = reference_models.get_config(TINY)
    config.strangers = 0.25
    config.training.architecture.update({"width": 0.0625, "embedding_size": 8, "input_size": 16})
    return config


@pytest.fixture
def trainings(monkeypatch):
    """Replaces training by fresh weights; the calls are recorded."""
    calls = []

    def train(config, images, labels, workdir):
        calls.append((workdir.name, images, labels))
        rng = np.random.default_rng(config.seed)
        variables = iresnet_model.init(config.architecture, config.seed)
        head = {"prototypes": rng.standard_normal((labels.max() + 1, 8), np.float32)}
        return lab.Trained(variables, head, np.full((1, 3), 2.0 + config.seed))

    monkeypatch.setattr(lab, "train", train)
    return calls


def test_what_is_finished_is_not_trained_again(config, trainings, tmp_path):
    models = lab_references.Models(config, tmp_path)
    study = models.study()
    assert [name for name, _, _ in trainings] == [f"{i:02d}" for i in range(6)]
    for (_, images, labels), members in zip(trainings, study.in_mask):
        assert images.shape == (24, 16, 16, 3) and images.std() > 0
        people = study.identities[members]
        assert ((labels[:, None] == labels) == (people[:, None] == people)).all()
    assert models.losses() == [2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    assert {t.shape for t in study.scalars.values()} == {(6, 48)}
    assert {t.shape for t in study.strangers.values()} == {(6, 16)}
    assert study.scalars.keys() - study.strangers.keys() == {"own_centre", "own_margin"}

    (tmp_path / "03" / "readings.npz").unlink()
    again = models.study()
    assert len(trainings) == 6
    for name, t in study.scalars.items():
        np.testing.assert_array_equal(again.scalars[name], t)
    with np.load(tmp_path / "03" / "head.npz") as head:
        assert head["prototypes"].shape == (12, 8)
    assert audited.load(str(tmp_path / "03")).input_size == 16

    config.by = "identity"
    with pytest.raises(InputError, match="another training began here"):
        lab_references.Models(config, tmp_path)
    for key, value in (("pairs", 2), ("by", "face")):
        config[key] = value
        with pytest.raises(InputError, match=f"{key} is '?{value}"):
            lab_references.Models(config, tmp_path / "other")
        config[key] = {"pairs": 3, "by": "image"}[key]
    assert not (tmp_path / "other").exists()


@pytest.mark.full
@pytest.mark.parametrize("by", ["image", "identity"])
def test_the_command(by, tmp_path):
    words = [sys.executable, "-m", "experiments.reference_models", f"--workdir={tmp_path}"]
    words.append(f"--config=experiments/configs/reference_models.py:{TINY},by={by},identities=60")
    words.append("--config.training.architecture.width=0.0625")
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "over 6 lab models" in done.stdout
    assert ("own class" in done.stdout) == (by == "image")
    found = json.loads((tmp_path / "reference_models.json").read_text())
    assert found["references"] == 4 and len(found["training_loss"]) == 6
    assert {(row["models"], row["n_test"]) for row in found["rows"]} == {(6, 1200)}
    again = subprocess.run(words, capture_output=True, text=True)
    assert again.stdout == done.stdout and "epoch" not in again.stderr
