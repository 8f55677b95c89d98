"""Fused auditors: features by NumPy, cross-fitting, and what a network without members reads."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mint_jax import auditors
from mint_jax.auditors import Consistency, FusionConfig, Neighbours, Prototypes, logistic, parts
from mint_jax.auditors.fusion import _features
from mint_jax.errors import InputError

VIEWS = ("flip", "shift:1:0")
CONFIG = FusionConfig(
    (
        Neighbours(views=VIEWS, top=(1, 3)),
        Neighbours("conv4", top=(1, 50), centred=True),
        Consistency("outcome", VIEWS),
        Consistency("conv4", ("flip",)),
        Prototypes(top=(1, 4)),
    )
)


def _aad(n, seed=0, pull=0.0):
    """AAD of n photos, two of each person; `pull` (n,) draws embeddings to a common centre."""
    rng = np.random.default_rng(seed)
    person = np.repeat(rng.normal(size=(n // 2, 16)), 2, axis=0)
    centre = np.random.default_rng(1).normal(size=16)
    embeddings = person + 0.3 * rng.normal(size=(n, 16)) + np.multiply.outer(pull, centre)
    found = {name: embeddings + 0.1 * rng.normal(size=(n, 16)) for name in CONFIG.layers[:3]}
    found |= {name: rng.uniform(1, 2, size=(n, 8)) for name in CONFIG.layers[3:]}
    return {name: x.astype(np.float32) for name, x in found.items()}


def _people(n, seed):
    return np.array([f"person {seed} {i // 2}" for i in range(n)])


@pytest.fixture(scope="module")
def known():
    """(AAD, labels, people, prototypes and their people) of 60 photos, sides by person."""
    labels = np.random.default_rng(5).permutation(np.arange(30) % 2).repeat(2)
    people = _people(60, 0)
    prototypes = np.random.default_rng(6).normal(size=(25, 16)), people[np.arange(25) * 2]
    return _aad(60), labels, people, prototypes


def _unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _by_hand(known, aad, people):
    """Every feature of every row of `aad`, one row at a time; people None compares to all."""
    bank, labels, own, (prototypes, classes) = known
    outcome = [name for name in CONFIG.layers if name.startswith("outcome")]
    mean = lambda x: _unit(sum(_unit(x[name]) for name in outcome))  # noqa: E731
    centre = bank["conv4"].mean(0)
    pairs = [(mean(bank), mean(aad), (1, 3))]
    pairs.append((_unit(bank["conv4"] - centre), _unit(aad["conv4"] - centre), (1, 50)))
    rows = []
    for i in range(len(aad["outcome"])):
        other = np.ones(60, bool) if people is None else own != people[i]
        found = []
        for images, queries, top in pairs:
            for label in (1, 0):
                c = np.sort(images[(labels == label) & other] @ queries[i])[::-1]
                found += [*(c[:k].mean() for k in top), c.mean(), c.std()]
        views = np.stack([aad[name][i] for name in outcome])
        c = _unit(views) @ mean(aad)[i]
        found += [c.mean(), c.min(), np.linalg.norm(views.mean(0))]
        found.append(_unit(views[0]) @ _unit(views[1]))
        views = _unit(np.stack([aad["conv4"][i], aad["conv4@flip"][i]]))
        found.append((views @ _unit(views.mean(0))).mean())
        allowed = np.ones(25, bool) if people is None else classes != people[i]
        c = np.sort(_unit(prototypes[allowed]) @ _unit(aad["outcome"][i]))[::-1]
        rows.append([*found, c[0], c[:4].mean()])
    return np.array(rows)


def test_features(known):
    aad, labels, people, (prototypes, classes) = known
    variables = {str(i): p.fit(aad, labels, prototypes) for i, p in enumerate(CONFIG.parts)}
    banks = {
        "members": people[labels == 1],
        "non_members": people[labels == 0],
        "prototypes": classes,
    }
    fitting = _features(CONFIG, variables, banks, aad, people)
    np.testing.assert_allclose(fitting, _by_hand(known, aad, people), atol=3e-6)
    assert fitting.shape[1] == len(CONFIG.feature_names)
    later = _features(CONFIG, variables, banks, _aad(10, seed=3), None)
    np.testing.assert_allclose(later, _by_hand(known, _aad(10, seed=3), None), atol=3e-6)


def test_population_and_exported_auditor_agree(known):
    aad, labels, people, prototypes = known
    rows = np.stack([np.arange(60) < 40, np.arange(60) >= 20, np.ones(60, bool)])
    fitted = auditors.fit_fusions(aad, labels, people, rows, CONFIG, prototypes)
    scores = fitted.predict(_aad(300, seed=4))
    assert scores.shape == (3, 300) and len(fitted) == 3
    assert len(np.unique(scores[:, 0])) == 3
    for p, expected in enumerate(scores):
        auditor = fitted.auditor(p, audited_sha256="0")
        np.testing.assert_allclose(auditor.score(_aad(300, seed=4)), expected, atol=1e-6)
    alone = auditors.fit_fusion(aad, labels, people, CONFIG, prototypes, audited_sha256="0")
    np.testing.assert_allclose(alone.score(_aad(300, seed=4)), scores[2], atol=1e-6)
    assert alone.fit["banks"] == {"members": 30, "non_members": 30, "prototypes": 25}


def test_own_prototypes_are_left_out_where_people_are_known(known):
    """A query that is its class's prototype finds itself, unless its person is given."""
    aad, labels, people, (prototypes, classes) = known
    config = FusionConfig((Prototypes(top=(1,)),))
    whole = np.ones((1, 60), bool)
    fitted = auditors.fit_fusions(aad, labels, people, whole, config, (prototypes, classes))
    query = {"outcome": prototypes.astype(np.float32)}
    cosines = _unit(prototypes) @ _unit(prototypes).T
    others = np.where(np.eye(25, dtype=bool), -1, cosines).max(axis=1)
    for identities, largest in ((None, np.ones(25)), (classes, others)):
        expected = logistic.probability(fitted.fitted[0].regression, largest[:, None])
        np.testing.assert_allclose(fitted.predict(query, identities)[0], expected, atol=1e-5)


NEAR = FusionConfig((Neighbours(),))
N = 600  # photos of 300 people


def _halves(seed, by="person"):
    """(N,) labels, half of them members."""
    rows, photos = {"person": (N // 2, 2), "photo": (N, 1)}[by]
    return np.random.default_rng(seed).permutation(np.arange(rows) % 2).repeat(photos)


def _fitted_twice(aad, labels):
    """A population, and a regression on the features that later queries would have, and those."""
    fitted = auditors.fit_fusions(aad, labels, _people(N, 1), np.ones((1, N), bool), NEAR)
    features = _features(NEAR, fitted.fitted[0].variables, fitted.fitted[0].identities, aad, None)
    return fitted, logistic.fit_logistic(features, labels, NEAR.l2), features


def test_cross_fitting_is_what_makes_it_learn():
    """Members lie near members, and each person has two photos: both must be left out."""
    labels, later = _halves(0), _halves(2)
    fitted, unmasked, _ = _fitted_twice(_aad(N, 1, 0.7 * labels), labels)
    aad = _aad(N, 2, 0.7 * later)
    features = _features(NEAR, fitted.fitted[0].variables, fitted.fitted[0].identities, aad, None)
    crossed = roc_auc_score(later, fitted.predict(aad)[0])
    broken = roc_auc_score(later, logistic.probability(unmasked, features))
    assert crossed > 0.8 and broken < crossed - 0.08


@pytest.mark.parametrize("by", ["person", "photo"])
def test_a_network_that_never_saw_the_members_reads_chance(by):
    """Its own training photos it reads as 10 coefficients fitted to them do, no better."""
    labels, aad = _halves(0, by), _aad(N, 1)
    fitted, unmasked, features = _fitted_twice(aad, labels)
    error = np.sqrt(1 / (6 * N / 2))  # of the AUC, as of one photo a person
    later = roc_auc_score(_halves(2, by), fitted.predict(_aad(N, 2))[0])
    assert abs(later - 0.5) < 3 * error
    crossed = roc_auc_score(labels, fitted.predict(aad, _people(N, 1))[0])
    assert abs(crossed - 0.5) < 0.1 + 3 * error  # 10 coefficients, 300 people: d' = 0.37
    if by == "person":
        assert roc_auc_score(labels, logistic.probability(unmasked, features)) > 0.95


def test_parts_survive_json_and_config_files():
    for part in CONFIG.parts:
        options = {
            k: list(v) if isinstance(v, tuple) else v for k, v in parts.to_json(part).items()
        }
        assert FusionConfig([options]).parts == (part,)
    with pytest.raises(InputError, match="kind 'oracle'; there are neighbours"):
        FusionConfig([{"kind": "oracle"}])
    with pytest.raises(InputError, match="depth"):
        FusionConfig([{"kind": "prototypes", "depth": 3}])
    with pytest.raises(InputError, match="at least one part"):
        FusionConfig(())
    with pytest.raises(InputError, match="at least one view"):
        Consistency("conv1", ())


def test_what_cannot_be_fitted(known):
    aad, labels, people, (prototypes, classes) = known
    whole = np.ones((1, 60), bool)
    fit = lambda *a: auditors.fit_fusions(aad, *a)  # noqa: E731
    with pytest.raises(InputError, match="the non_members are of fewer than two people"):
        fit(np.arange(60) > 1, people, whole, CONFIG, (prototypes, classes))
    with pytest.raises(InputError, match="the non_members are of fewer than two people"):
        fit(labels, people, whole & (labels == 1), CONFIG, (prototypes, classes))
    with pytest.raises(InputError, match="prototypes are"):
        fit(labels, people, whole, CONFIG)
    with pytest.raises(InputError, match="prototypes are"):
        fit(labels, people, whole, CONFIG, (prototypes[:, :5], classes))
