"""One training step: augmentation, forward and backward pass, update; on every device of all."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from mint_jax import parallel
from mint_jax.audited import Preprocessing, iresnet, iresnet_model
from mint_jax.lab.augmentation import augment
from mint_jax.lab.config import TrainConfig
from mint_jax.lab.heads import head_losses, init_head

_ACCELERATORS = ("gpu", "tpu")
PREPROCESSING = Preprocessing()  # pixels 0..255 become -1..1


def build_network(config: TrainConfig) -> nn.Module:
    """The network of `config.architecture`; batch statistics are taken over all devices."""
    half = config.bfloat16
    if half is None:
        half = jax.default_backend() in _ACCELERATORS
    architecture = config.architecture
    return iresnet(
        architecture["name"],
        width=architecture["width"],
        embedding_size=architecture["embedding_size"],
        dtype=jnp.bfloat16 if half else jnp.float32,
        axis_name=parallel.AXIS,
    )


def learning_rate(config: TrainConfig, steps_per_epoch: int) -> optax.Schedule:
    """The rate of a step, counted from 0: it rises linearly, then falls to zero as a cosine."""
    total = config.epochs * steps_per_epoch
    warmup = min(int(config.warmup_epochs * steps_per_epoch), total - 1)
    return optax.warmup_cosine_decay_schedule(0.0, config.learning_rate, warmup, total)


def build_optimizer(config: TrainConfig, rate: optax.Schedule) -> optax.GradientTransformation:
    """SGD or AdamW."""

    def decayed(params: Any) -> Any:
        return jax.tree.map(lambda x: x.ndim > 1, params)

    if config.optimizer == "adamw":
        return optax.adamw(rate, weight_decay=config.weight_decay, mask=decayed)
    return optax.chain(
        optax.add_decayed_weights(config.weight_decay, decayed),
        optax.sgd(rate, config.momentum),
    )


def init_state(
    config: TrainConfig, optimizer: optax.GradientTransformation, classes: int
) -> dict[str, Any]:
    """Fresh state: {"params": {"network", "head"}, "batch_stats", "optimizer", "step"}."""
    variables = iresnet_model.init(config.architecture, config.seed)
    head = init_head(config, jax.random.key(config.seed), classes)
    params = {"network": variables["params"], "head": head}
    return {
        "params": params,
        "batch_stats": variables["batch_stats"],
        "optimizer": jax.jit(optimizer.init)(params),
        "step": jnp.zeros((), jnp.int32),
    }


def make_step(config: TrainConfig, optimizer: optax.GradientTransformation) -> Callable:
    """The pmapped `(state, batch) -> (state, loss)`.

    A batch is {"image": (b, S, S, 3) uint8, "label": (b,) int32, "position": (b,) int32};
    `position` is the place in the whole batch: it selects the randomness, so that the result
    does not depend on how many devices share it. The loss is the mean over the whole batch.
    """
    network = build_network(config)

    def mean_loss(params, batch_stats, batch, images):
        variables = {"params": params["network"], "batch_stats": batch_stats}
        (embeddings, _), updates = network.apply(
            variables, images, train=True, mutable=["batch_stats"]
        )
        embeddings = embeddings.astype(jnp.float32)
        losses = head_losses(config, params["head"], embeddings, batch["label"])
        return losses.mean(), updates["batch_stats"]

    def step(state, batch):
        key = jax.random.fold_in(jax.random.key(config.seed), state["step"])
        keys = jax.vmap(lambda position: jax.random.fold_in(key, position))(batch["position"])
        images = augment(keys, batch["image"], flip=config.flip, shift=config.shift)
        images = PREPROCESSING(images)
        gradient = jax.value_and_grad(mean_loss, has_aux=True)
        (loss, batch_stats), grads = gradient(state["params"], state["batch_stats"], batch, images)
        loss, grads = jax.lax.pmean((loss, grads), parallel.AXIS)
        updates, optimizer_state = optimizer.update(grads, state["optimizer"], state["params"])
        new = {
            "params": optax.apply_updates(state["params"], updates),
            "batch_stats": batch_stats,
            "optimizer": optimizer_state,
            "step": state["step"] + 1,
        }
        return new, loss

    return parallel.pmap(step, donate_argnums=(0,), over_processes=True)
