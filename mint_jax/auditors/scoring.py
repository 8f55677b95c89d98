"""Runs an auditor over rows of AAD in chunks of one fixed shape."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_ROWS = {"max": 256, "map": 32}


def probability(module: Any, variables: dict, features: jax.Array) -> jax.Array:
    """Membership probabilities (B,) of a Linen auditor for AAD (B, ...)."""
    return jax.nn.sigmoid(module.apply(variables, features)[0])


@lru_cache(maxsize=128)
def program(function: Callable, model: Any) -> Callable:
    """Compiles `function(model, variables, features)`, matrix products in float32."""

    def run(variables, features):
        with jax.default_matmul_precision("highest"):
            return function(model, variables, features)

    return jax.jit(run)


def chunks(features: np.ndarray, reduce: str) -> Iterator[tuple[np.ndarray, int]]:
    """Yields (rows, count): fixed numbers of rows, zeros behind the first `count`.

    One shape means one compilation, and a score that does not depend on how many are asked
    for.
    """
    size = _ROWS[reduce]
    for i in range(0, len(features), size):
        rows = np.asarray(features[i : i + size], np.float32)
        padding = [(0, size - len(rows))] + [(0, 0)] * (rows.ndim - 1)
        yield np.pad(rows, padding), len(rows)


def scores(function: Callable, model: Any, members: list[dict], features: np.ndarray) -> np.ndarray:
    """Scores (P, n) float32 of AAD (n, ...), one row for each of `members`' variables."""
    run = program(function, model)
    members = [jax.tree.map(jnp.asarray, variables) for variables in members]
    out = np.empty((len(members), len(features)), np.float32)
    begin = 0
    for rows, count in chunks(features, model.reduce):
        rows = jnp.asarray(rows)
        results = [run(variables, rows) for variables in members]  # queued before the copies
        for p, result in enumerate(results):
            out[p, begin : begin + count] = result[:count]
        begin += count
    return out
