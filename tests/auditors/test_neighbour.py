"""The neighbour auditor: features and regression against scikit-learn."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from mint_jax.auditors import NeighbourConfig, cosines, fit_neighbour, fit_neighbours
from mint_jax.auditors.logistic import fit_logistic
from mint_jax.auditors.neighbour import neighbour_features
from mint_jax.errors import InputError


def _expected(queries, bank, top):
    """max, means of the k largest, mean and standard deviation of cosines, by scikit-learn."""
    search = NearestNeighbors(n_neighbors=len(bank), metric="cosine", algorithm="brute")
    similar = 1 - search.fit(bank.astype(np.float64)).kneighbors(queries)[0]
    tops = [similar[:, :k].mean(1) for k in top]
    return np.stack([similar[:, 0], *tops, similar.mean(1), similar.std(1)], axis=1)


@pytest.mark.parametrize("block", [4096, 32])
def test_features(neighbour_toy, monkeypatch, block):
    monkeypatch.setattr(cosines, "_BLOCK", block)
    _, embeddings, _, members, others = neighbour_toy
    config = NeighbourConfig(top=(3, block))  # new programs for each block size
    banks = {
        "bank_members": cosines.unit(jnp.asarray(members, jnp.float32)),
        "bank_non_members": cosines.unit(jnp.asarray(others, jnp.float32)),
    }
    actual = neighbour_features(config, banks, embeddings)
    expected = [_expected(embeddings, bank, (3, block)) for bank in (members, others)]
    np.testing.assert_allclose(actual, np.concatenate(expected, axis=1), atol=2e-6)
    assert actual.shape[1] == len(config.feature_names)


@pytest.mark.parametrize("l2", [1.0, 30.0])
def test_regression(l2):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6)) * [1, 10, 0.1, 1, 1, 1] + 5
    y = (x[:, 0] + 3 * x[:, 2] + rng.normal(size=400) > 20.2).astype(int)
    fit = fit_logistic(x, y, l2)
    standardised = (x - x.mean(0)) / x.std(0)
    oracle = LogisticRegression(C=1 / l2, tol=1e-8, max_iter=1000).fit(standardised, y)
    np.testing.assert_allclose(fit["coefficients"], oracle.coef_[0], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(fit["intercept"], oracle.intercept_[0], atol=1e-3)


def test_reads_members_that_lie_near_members(neighbour_toy):
    fitted, embeddings, labels, *_ = neighbour_toy
    scores = fitted.predict(embeddings)
    assert roc_auc_score(labels[1::2], scores[0, 1::2]) > 0.8
    assert roc_auc_score(labels[::2], scores[1, ::2]) > 0.8


def test_embeddings_without_structure_read_chance():
    rng = np.random.default_rng(0)
    draw = lambda n: rng.normal(size=(n, 16)).astype(np.float32)  # noqa: E731
    auditor = fit_neighbour(
        draw(1000), rng.integers(0, 2, 1000), draw(300), draw(300), audited_sha256="0"
    )
    auc = roc_auc_score(rng.integers(0, 2, 2000), auditor.score({"outcome": draw(2000)}))
    assert abs(auc - 0.5) < 0.04  # three standard errors at n = 2000


def test_an_exported_auditor_scores_like_the_population(neighbour_toy):
    fitted, embeddings, *_ = neighbour_toy
    for p, expected in enumerate(fitted.predict(embeddings)):
        actual = fitted.auditor(p, audited_sha256="0").score({"outcome": embeddings})
        np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_banks_and_rows_that_cannot_be(neighbour_toy):
    _, embeddings, labels, members, others = neighbour_toy
    everything = np.ones((1, len(labels)), bool)
    with pytest.raises(InputError, match="bank_members"):
        fit_neighbours(embeddings, labels, members[:0], others, everything)
    with pytest.raises(InputError, match="bank_non_members"):
        fit_neighbours(embeddings, labels, members, others[:, :5], everything)
    with pytest.raises(InputError, match="lack"):
        fit_neighbours(embeddings, labels, members, others, everything & (labels == 1))
