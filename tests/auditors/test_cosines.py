"""Search of a bank: people left out, and memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mint_jax.auditors import cosines
from mint_jax.auditors.cosines import cosine_statistics


def _vectors(n, seed):
    return cosines.unit(np.random.default_rng(seed).normal(size=(n, 8)).astype(np.float32))


@pytest.mark.parametrize("block", [4096, 7])
def test_images_of_the_own_person_are_left_out(monkeypatch, block):
    monkeypatch.setattr(cosines, "_BLOCK", block)
    queries, bank = _vectors(20, 0), _vectors(50, 1)
    people = np.arange(20) // 2, np.sort(np.arange(50) % 3)  # query 6 and later are in no image
    largest, mean, deviation = cosine_statistics(queries, bank, 40, people)
    for i, person in enumerate(people[0]):
        expected = np.sort(np.asarray(bank[people[1] != person] @ queries[i]))[::-1]
        k = min(40, len(expected))
        np.testing.assert_allclose(largest[i, :k], expected[:k], atol=1e-6)
        assert np.all(largest[i, k:] == -np.inf)
        np.testing.assert_allclose(mean[i], expected.mean(), atol=1e-6)
        np.testing.assert_allclose(deviation[i], expected.std(), atol=1e-6)


def test_memory_is_that_of_a_block(monkeypatch):
    monkeypatch.setattr(cosines, "_BLOCK", 64)

    def temporary(n):
        queries = jax.ShapeDtypeStruct((32, 8), jnp.float32)
        bank = jax.ShapeDtypeStruct((n, 8), jnp.float32)
        people = [jax.ShapeDtypeStruct((size,), jnp.int32) for size in (32, n)]
        search = jax.jit(lambda q, b, p: cosine_statistics(q, b, 5, p))
        return search.lower(queries, bank, people).compile().memory_analysis().temp_size_in_bytes

    assert temporary(64 * 1000) <= 1.1 * temporary(64 * 10) < 4 * 32 * 640


def test_cosines_are_not_sorted():
    """XLA's CPU backend did where two parts of the largest were used, at 9 times the time."""

    def parts(queries, bank):
        largest = cosine_statistics(queries, bank, 20)[0]
        return largest[:, :1].mean(-1), largest[:, :5].mean(-1)

    text = jax.jit(parts).lower(_vectors(32, 0), _vectors(100, 1)).compile().as_text()
    assert " sort(" not in text
