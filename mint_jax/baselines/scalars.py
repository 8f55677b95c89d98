"""Membership scores out of one network and one photo: nothing is trained, no bank is searched.

Norm and consistency read the embedding alone. That a network answers alike to the views of a photo
that it was trained on: Choquette-Choo et al., arXiv 2007.14321. The BatchNorm distance reads the
weights as well: Huang et al., arXiv 2401.13719, for face recognition networks without a head.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mint_jax import parallel
from mint_jax.aad import Extractor
from mint_jax.audited import AuditedModel

SHIFT = 2  # pixels of a 112x112 photo
_OUTCOME = "outcome"


class Scalars(Extractor):
    """Photos in, scores out: `scalars(images) -> {baseline: (B,) float32}`; higher is member.

    It is an extractor whose layers are baselines, so that `aad.extract` runs it over a source:
    "norm", the length of the embedding; "flip" and "jitter", the cosine between the embeddings of a
    photo and of its mirror image, and the mean cosine to its shifts by 2 pixels along each axis;
    "bn_distance", where the network is one of Flax with BatchNorms. All views of a batch pass
    through the network once, in one program.
    """

    def __init__(self, model: AuditedModel, per_device_batch: int = 32):
        """Compiles for `model`; `per_device_batch` photos, six views each, are in one step."""
        image = jax.ShapeDtypeStruct((1, model.input_size, model.input_size, 3), jnp.uint8)
        self._apply = scalar_function(model)
        self.layers = tuple(jax.eval_shape(self._apply, model.variables, image))
        self.reduce = "max"
        self.chunk = per_device_batch * parallel.device_count()
        self._program = parallel.pmap(self._apply)
        # What is read within the network would be hidden by the scan that prepared kernels bring.
        self._prepare = lambda variables: variables
        self._variables = parallel.replicate(model.variables)


def scalar_function(model: AuditedModel) -> Callable:
    """The pure function `(variables, images) -> {baseline: (B,)}` that `Scalars` compiles."""

    def apply(variables, images):
        statistics = _Statistics(len(images))
        with nn.intercept_methods(statistics):
            outcome = model.apply(variables, _views(images), (_OUTCOME,))[_OUTCOME]
        embeddings = outcome.reshape(-1, len(images), outcome.shape[-1])
        lengths = jnp.linalg.norm(embeddings, axis=-1)
        directions = embeddings / jnp.maximum(lengths, 1e-12)[..., None]
        cosines = jnp.sum(directions[0] * directions[1:], axis=-1)
        found = {"norm": lengths[0], "flip": cosines[0], "jitter": cosines[1:].mean(axis=0)}
        if statistics.distances:
            found["bn_distance"] = -jnp.stack(statistics.distances).mean(axis=0)
        return found

    return apply


def _views(images: jax.Array) -> jax.Array:
    """(6 B, H, W, 3): photos, mirror images, shifts down, up, right and left, borders repeated."""
    height, width = images.shape[1:3]
    wide = jnp.pad(images, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), "edge")
    corners = ((0, SHIFT), (2 * SHIFT, SHIFT), (SHIFT, 0), (SHIFT, 2 * SHIFT))
    shifted = [wide[:, y : y + height, x : x + width] for y, x in corners]
    return jnp.concatenate([images, images[:, :, ::-1], *shifted])


class _Statistics:
    """Reads the inputs of all BatchNorms of a Flax network while it runs.

    Huang et al. train a classifier on the distances between a photo's means and the running ones.
    Here nothing is trained, and both moments are compared as in DeepInversion (Yin et al., arXiv
    1912.08795): of each channel the squared 2-Wasserstein distance between two Gaussians, in units
    of the running variance V, ((m - M)^2 + (s - sqrt(V))^2) / V; the mean over channels.
    """

    def __init__(self, photos: int):
        """Photos that are the first rows of a batch; views of theirs follow and are not read."""
        self._photos = photos
        self.distances: list[jax.Array] = []

    def __call__(self, following: Callable, args: tuple, kwargs: dict, context: Any) -> Any:
        """Interceptor of `flax.linen.intercept_methods`."""
        norm = context.module
        if isinstance(norm, nn.BatchNorm) and context.method_name == "__call__":
            x = args[0][: self._photos].astype(jnp.float32)
            space = tuple(range(1, x.ndim - 1))
            variance = norm.get_variable("batch_stats", "var") + norm.epsilon
            mean = x.mean(axis=space) - norm.get_variable("batch_stats", "mean")
            spread = x.std(axis=space) - jnp.sqrt(variance)
            self.distances.append(jnp.mean((mean**2 + spread**2) / variance, axis=-1))
        return following(*args, **kwargs)
