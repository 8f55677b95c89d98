"""Runs an auditor over rows of AAD in chunks of one fixed shape."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_ROWS = {"max": 256, "map": 32}


def probability(module: Any, variables: dict, features: jax.Array | dict) -> jax.Array:
    """Membership probabilities (B,) of a Linen auditor for AAD (B, ...), or {layer: (B, ...)}."""
    return jax.nn.sigmoid(module.apply(variables, features)[0])


@lru_cache(maxsize=128)
def program(function: Callable, model: Any) -> Callable:
    """Compiles `function(model, variables, features)`, matrix products in float32."""

    def run(variables, features):
        with jax.default_matmul_precision("highest"):
            return function(model, variables, features)

    return jax.jit(run)


def chunks(features: Any, reduce: str) -> Iterator[tuple[Any, int]]:
    """Yields (rows, count): fixed numbers of rows, zeros behind the first `count`.

    One shape means one compilation, and a score that does not depend on how many are asked
    for.

    Args:
      features: an array (n, ...), or a tree of such; integers stay what they are, all else becomes
        float32.
      reduce: "max" or "map".
    """
    size = _ROWS[reduce]
    for begin in range(0, _length(features), size):
        rows = jax.tree.map(lambda x, begin=begin: _chunk(x, begin, size), features)
        yield rows, min(size, _length(features) - begin)


def _length(features: Any) -> int:
    return len(jax.tree.leaves(features)[0])


def _chunk(features: np.ndarray, begin: int, size: int) -> np.ndarray:
    rows = np.asarray(features[begin : begin + size])
    rows = rows if np.issubdtype(rows.dtype, np.integer) else rows.astype(np.float32, copy=False)
    return np.pad(rows, [(0, size - len(rows))] + [(0, 0)] * (rows.ndim - 1))


def scores(function: Callable, model: Any, members: list[dict], features: Any) -> np.ndarray:
    """Scores (P, n) float32 of AAD (n, ...), one row for each of `members`' variables.

    `features` are one layer's, or {layer: (n, ...)} where the auditor reads several.
    """
    run = program(function, model)
    members = [jax.tree.map(jnp.asarray, variables) for variables in members]
    out = np.empty((len(members), _length(features)), np.float32)
    begin = 0
    for rows, count in chunks(features, model.reduce):
        rows = jax.tree.map(jnp.asarray, rows)
        results = [run(variables, rows) for variables in members]  # queued before the copies
        for p, result in enumerate(results):
            out[p, begin : begin + count] = np.asarray(result)[:count]
        begin += count
    return out
