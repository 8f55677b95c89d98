"""An audited model M: a network whose layers are read by name from uint8 photos."""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mint_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How pixels become the network's input: x = (pixel - mean) * scale.

    Attributes:
      mean: subtracted from pixels in 0..255.
      scale: multiplies the difference.
      channel_order: "rgb" or "bgr", the order that the network was trained with.
    """

    mean: float = 127.5
    scale: float = 1 / 127.5
    channel_order: str = "rgb"

    def __post_init__(self) -> None:
        if self.channel_order not in ("rgb", "bgr"):
            raise InputError(f'channel order {self.channel_order!r}; it is "rgb" or "bgr"')

    def __call__(self, images: jax.Array) -> jax.Array:
        """(..., 3) pixels in RGB, 0..255, as float32 network input."""
        x = images if self.channel_order == "rgb" else images[..., ::-1]
        return (x.astype(jnp.float32) - self.mean) * self.scale


def _as_they_are(variables: Any, batch: int) -> Any:
    del batch
    return variables


@dataclasses.dataclass(frozen=True)
class AuditedModel:
    """A network under audit.

    Attributes:
      name: for people.
      layers: names that `apply` understands, in depth order: conv1..conv4 and outcome.
      variables: pytree of arrays, the first argument of `apply`.
      sha256: of the file that the weights came from, or else of the weights themselves.
      input_size: S, the side of the network's square input in pixels.
      preprocessing: of pixels.
      forward: `(variables, x, layers) -> {layer: array}` for normalised x (B, S, S, 3).
      redraw: `(seed) -> variables` of an untrained network of the same shape.
      prepare: `(variables, images in a batch) -> variables` for `forward`, which it makes faster
        and does not change.
      architecture: what `save` stores to build the network again; None where it cannot.
      info: what is known of the model (training database, terms, how it was made); JSON
        types.
    """

    name: str
    layers: tuple[str, ...]
    variables: Any
    sha256: str
    input_size: int
    preprocessing: Preprocessing
    forward: Callable[[Any, jax.Array, tuple[str, ...]], dict[str, jax.Array]]
    redraw: Callable[[int], Any]
    prepare: Callable[[Any, int], Any] = _as_they_are
    architecture: Mapping[str, Any] | None = None
    info: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def apply(
        self, variables: Any, images: jax.Array, layers: Sequence[str]
    ) -> dict[str, jax.Array]:
        """Activations of `images`; pure and jittable, and only what is asked for is
        computed.

        Args:
          variables: like `self.variables`.
          images: (B, H, W, 3) uint8 RGB, resized to S x S where they differ.
          layers: names out of `self.layers`.

        Returns:
          {layer: array}: maps (B, h, w, C), outcome (B, D).

        Raises:
          InputError: an unknown layer, or images of another form.
        """
        unknown = [layer for layer in layers if layer not in self.layers]
        if unknown:
            known = ", ".join(self.layers)
            raise InputError(f"{self.name} has no layer {unknown[0]!r}; it has {known}")
        images = jnp.asarray(images)
        if images.ndim != 4 or images.shape[-1] != 3:
            raise InputError(f"images must be (B, H, W, 3), not {images.shape}")
        x = self.preprocessing(resize(images, self.input_size))
        return self.forward(variables, x, tuple(layers))


def resize(images: jax.Array, size: int) -> jax.Array:
    """(B, H, W, C) to (B, size, size, C) float32: area means where `size` divides both."""
    batch, height, width, channels = images.shape
    x = images.astype(jnp.float32)
    if (height, width) == (size, size):
        return x
    if height % size == 0 and width % size == 0:
        cells = (batch, size, height // size, size, width // size, channels)
        return x.reshape(cells).mean(axis=(2, 4))
    return jax.image.resize(x, (batch, size, size, channels), "linear")


def randomised(model: AuditedModel, seed: int) -> AuditedModel:
    """The random-network control: the same architecture and input, fresh random weights.

    Args:
      model: any audited model.
      seed: of the weights.
    """
    variables = model.redraw(seed)
    return dataclasses.replace(
        model,
        name=f"{model.name}, random weights {seed}",
        variables=variables,
        sha256=digest(variables),
        info={"training_database": "none: random weights", "seed": seed},
    )


def digest(variables: Any) -> str:
    """SHA-256 (hex) of a pytree of arrays: paths, types, shapes, bytes, sorted by path."""
    flat, _ = jax.tree_util.tree_flatten_with_path(variables)
    sha256 = hashlib.sha256()
    for path, leaf in sorted((jax.tree_util.keystr(path), leaf) for path, leaf in flat):
        array = np.ascontiguousarray(leaf)
        sha256.update(f"{path} {array.dtype} {array.shape}\n".encode())
        sha256.update(array.view(np.uint8).reshape(-1).data)
    return sha256.hexdigest()
