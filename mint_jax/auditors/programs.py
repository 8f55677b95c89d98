"""The compiled parts of training, mapped over auditors and devices."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from mint_jax import parallel
from mint_jax.auditors.cnn import CNN
from mint_jax.auditors.vanilla import Vanilla

OPTIMIZERS = {"adam": optax.adam, "adamw": optax.adamw, "sgd": optax.sgd}


def together(module: Vanilla | CNN) -> bool:
    """Whether a device trains several auditors of this kind at once."""
    return module.together or jax.default_backend() != "cpu"


def initial_params(
    module: Vanilla | CNN, example: np.ndarray | dict[str, np.ndarray], seed: int
) -> dict:
    """He-normal kernels and zero biases, drawn by NumPy: equal on all kinds of devices."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(module.init, jax.random.key(0), example)["params"]

    def draw(path, leaf):
        if path[-1].key == "bias":
            return np.zeros(leaf.shape, np.float32)
        deviation = np.float32(np.sqrt(2 / leaf.shape[0]))
        return deviation * rng.standard_normal(leaf.shape, np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


@dataclass(frozen=True)
class Programs:
    """What training calls; state and batches have the axes (devices, auditors a device).

    Attributes:
      init: start -> state, with the optimiser's.
      train: (state, features, batch) -> state after the segment's steps.
      loss: (state, features, batch) -> sum of the cross-entropies, (devices, auditors).
      keep: (state, better) -> state whose `best` is `params` where `better`.
    """

    init: Callable
    train: Callable
    loss: Callable
    keep: Callable


@lru_cache(maxsize=64)
def programs(
    module: Vanilla | CNN, optimizer: str, learning_rate: float, over_rows: bool = False
) -> Programs:
    """The programs that train `module`, compiled once a process and shape.

    Where devices divide a batch `over_rows`, all of them hold the same auditors.
    """
    solver = OPTIMIZERS[optimizer](learning_rate)

    def total(tree):
        return jax.lax.psum(tree, parallel.AXIS) if over_rows else tree

    def losses(params, state, features, batch, step, **kw):
        variables = {"params": params, "normalisation": state["normalisation"]}
        rows = jax.tree.map(lambda x: x[batch["rows"][step]].astype(jnp.float32), features)
        with nn.intercept_methods(_own_rows) if over_rows else contextlib.nullcontext():
            logits, penalty = module.apply(variables, rows, **kw)
        loss = optax.sigmoid_binary_cross_entropy(logits, batch["labels"][step])
        return loss, penalty, batch["weights"][step]

    def init(start):
        return {**start, "optimizer": solver.init(start["params"])}

    def train(state, features, batch):
        key = jax.random.key(state["seed"])

        def objective(params, step):
            rngs = {"dropout": jax.random.fold_in(key, batch["taken"] + step)}
            loss, penalty, weights = losses(
                params, state, features, batch, step, train=True, rngs=rngs
            )
            return jnp.sum((loss + penalty) * weights) / total(jnp.sum(weights))

        def body(step, carry):
            params, inner = carry
            updates, inner = solver.update(total(jax.grad(objective)(params, step)), inner, params)
            return optax.apply_updates(params, updates), inner

        carry = jax.lax.fori_loop(0, batch["steps"], body, (state["params"], state["optimizer"]))
        return {**state, "params": carry[0], "optimizer": carry[1]}

    def loss(state, features, batch):
        def body(step, total):
            loss, _, weights = losses(state["params"], state, features, batch, step)
            return total + jnp.sum(loss * weights)

        return total(jax.lax.fori_loop(0, batch["steps"], body, jnp.float32(0)))

    def keep(state, better):
        best = jax.tree.map(
            lambda new, old: jnp.where(better, new, old), state["params"], state["best"]
        )
        return {**state, "best": best}

    def mapped(function, axes, **kw):
        over = jax.vmap(function, axes) if together(module) else _alone(function, axes)
        return parallel.pmap(over, over_processes=over_rows, **kw)

    return Programs(
        mapped(init, (0,)),
        mapped(train, (0, None, 0), donate_argnums=(0,)),
        mapped(loss, (0, None, 0)),
        mapped(keep, (0, 0), donate_argnums=(0,)),
    )


def _own_rows(call: Callable, arguments: tuple, options: dict, context: Any) -> Any:
    """Of a dropout of the whole batch, what falls on this device's rows, for `nn.Dropout`."""
    if not isinstance(context.module, nn.Dropout):
        return call(*arguments, **options)
    (x,) = arguments
    devices, own = jax.lax.psum(1, parallel.AXIS), jax.lax.axis_index(parallel.AXIS)
    whole = call(jnp.ones((devices * len(x), *x.shape[1:]), x.dtype), **options)
    return x * jax.lax.dynamic_slice_in_dim(whole, own * len(x), len(x))


def _alone(function: Callable, axes: tuple) -> Callable:
    """`jax.vmap(function, axes)` for an axis of length 1, without batched products."""

    def run(*arguments):
        first = [
            a if axis is None else jax.tree.map(lambda x: x[0], a)
            for a, axis in zip(arguments, axes)
        ]
        return jax.tree.map(lambda x: x[None], function(*first))

    return run
