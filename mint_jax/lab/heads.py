"""Classification heads that audited models are trained with: CosFace and a plain softmax.

CosFace: Wang et al., "CosFace: Large Margin Cosine Loss for Deep Face Recognition",
arXiv 1801.09414, equation 4.
"""

import jax
import jax.numpy as jnp
import optax

from mint_jax.lab.config import TrainConfig

_SMALLEST_NORM = 1e-12  # squared; keeps the gradient of a zero vector finite


def init_head(config: TrainConfig, key: jax.Array, classes: int) -> dict[str, jax.Array]:
    """Random head: "prototypes" (classes, D) float32, and "bias" (classes,) for softmax."""
    size = config.architecture["embedding_size"]
    head = {"prototypes": 0.01 * jax.random.normal(key, (classes, size))}
    if config.head == "softmax":
        head["bias"] = jnp.zeros(classes)
    return head


def normalise(vectors: jax.Array) -> jax.Array:
    """Vectors of length 1 along the last axis."""
    squares = jnp.sum(jnp.square(vectors), axis=-1, keepdims=True)
    return vectors * jax.lax.rsqrt(jnp.maximum(squares, _SMALLEST_NORM))


def cosface_losses(
    embeddings: jax.Array,
    prototypes: jax.Array,
    labels: jax.Array,
    scale: float,
    margin: float,
) -> jax.Array:
    """CosFace's large margin cosine loss of each image.

    `-log(e^(s (c_y - m)) / (e^(s (c_y - m)) + sum over j != y of e^(s c_j)))`, where `c_j` is
    the cosine between the embedding and prototype j.

    Args:
      embeddings: (B, D) float32, of any length.
      prototypes: (classes, D) float32, of any length.
      labels: (B,) int32.
      scale: s.
      margin: m.

    Returns:
      (B,) float32.
    """
    cosines = normalise(embeddings) @ normalise(prototypes).T
    own = jax.nn.one_hot(labels, len(prototypes), dtype=cosines.dtype)
    return optax.softmax_cross_entropy_with_integer_labels(scale * (cosines - margin * own), labels)


def head_losses(
    config: TrainConfig,
    head: dict[str, jax.Array],
    embeddings: jax.Array,
    labels: jax.Array,
) -> jax.Array:
    """Losses (B,) of embeddings (B, D) under the configured head."""
    if config.head == "cosface":
        return cosface_losses(embeddings, head["prototypes"], labels, config.scale, config.margin)
    logits = embeddings @ head["prototypes"].T + head["bias"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)
