"""Logistic regression with an L2 penalty, by L-BFGS."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mint_jax.auditors.standardise import statistics

_ROWS = 1024  # rows are padded to a multiple, so that few shapes are compiled
_ITERATIONS = 200
_TOLERANCE = 1e-5  # of the gradient's norm; float32 reaches about 1e-7


def fit_logistic(features: np.ndarray, labels: np.ndarray, l2: float) -> dict[str, np.ndarray]:
    """Minimises sum(cross-entropy) + l2 / 2 * |coefficients|^2 on standardised features.

    Args:
      features: (n, F); standardised here, by their own mean and standard deviation.
      labels: (n,) 0 or 1, both present.
      l2: weight of the penalty, scikit-learn's 1 / C; the intercept is free.

    Returns:
      float32 "mean", "scale", "coefficients" (F,) and "intercept" ().
    """
    norm = statistics(features, np.arange(len(features)))
    x = (np.asarray(features, np.float32) - norm["mean"]) * norm["scale"]
    padding = -len(x) % _ROWS
    x = np.pad(x, ((0, padding), (0, 0)))
    y = np.pad(np.asarray(labels, np.float32), (0, padding))
    weights = np.pad(np.ones(len(features), np.float32), (0, padding))
    solution = _minimise(x, y, weights, np.float32(l2))
    return norm | {k: np.asarray(v) for k, v in solution.items()}


def probability(regression: Mapping, features: jax.Array) -> jax.Array:
    """Probabilities (B,) of features (B, F) under what `fit_logistic` found."""
    standardised = (features - regression["mean"]) * regression["scale"]
    return jax.nn.sigmoid(standardised @ regression["coefficients"] + regression["intercept"])


@jax.jit
def _minimise(x, y, weights, l2):
    solver = optax.lbfgs()

    def objective(p):
        loss = optax.sigmoid_binary_cross_entropy(x @ p["coefficients"] + p["intercept"], y)
        penalty = 0.5 * l2 * jnp.sum(p["coefficients"] ** 2)
        return (jnp.sum(weights * loss) + penalty) / jnp.sum(weights)

    value_and_grad = optax.value_and_grad_from_state(objective)

    def step(carry):
        p, state, _, i = carry
        value, grad = value_and_grad(p, state=state)
        updates, state = solver.update(grad, state, p, value=value, grad=grad, value_fn=objective)
        return optax.apply_updates(p, updates), state, optax.tree.norm(grad), i + 1

    start = {"coefficients": jnp.zeros(x.shape[1]), "intercept": jnp.float32(0)}
    carry = (start, solver.init(start), jnp.float32(jnp.inf), 0)
    return jax.lax.while_loop(lambda c: (c[2] > _TOLERANCE) & (c[3] < _ITERATIONS), step, carry)[0]
