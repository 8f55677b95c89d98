"""Views of a photo: mirrored, moved or magnified, as training may have shown it to a network.

The name of an AAD may carry a view behind an @, "outcome" or "conv4" of the photo itself,
"outcome@flip", "conv4@flip+shift:-1:0". Views are made at the network's own input size, where
`lab.augmentation` makes them, and repeat the border. That networks answer alike to the views that
they were trained with: Choquette-Choo et al., arXiv 2007.14321.
"""

import re
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mint_jax.errors import InputError

_STEP = re.compile(r"flip|shift:(-?\d+):(-?\d+)|zoom:(\d+(?:\.\d+)?)")
_FORMS = "flip, shift:DOWN:RIGHT in pixels, zoom:FACTOR, or several of them joined by +"


def split(name: str) -> tuple[str, str | None]:
    """The layer and the view of an AAD's name; the view is None where it names none."""
    layer, mark, view = name.partition("@")
    return layer, view if mark else None


def with_views(layer: str, views: Sequence[str]) -> tuple[str, ...]:
    """Names of a layer's AAD: of the photo itself, and of each view."""
    return (layer, *(f"{layer}@{view}" for view in views))


def training_views(flip: bool, shift: int) -> tuple[str, ...]:
    """Everything that `lab.augmentation.augment` can make of a photo, but the photo itself.

    Args:
      flip: whether images are mirrored.
      shift: largest translation along each axis, in pixels of the network's input.
    """
    steps = range(-shift, shift + 1)
    shifts = [f"shift:{down}:{right}" for down in steps for right in steps if down or right]
    mirrored = ["flip", *(f"flip+{shifted}" for shifted in shifts)] if flip else []
    return (*shifts, *mirrored)


def transform(view: str | None) -> Callable[[jax.Array], jax.Array]:
    """The function that makes a view of images (B, S, S, C) float32; pure and jittable.

    A shift moves the content, by negative numbers up and to the left; a zoom magnifies it about the
    centre, by linear interpolation, and shrinks it below 1. A crop of the central 0.9 is zoom:1.11,
    one elsewhere has a shift behind the zoom. Steps are taken from left to right.

    Raises:
      InputError: an unknown view.
    """
    steps = [] if view is None else [_step(text, view) for text in view.split("+")]

    def apply(images: jax.Array) -> jax.Array:
        for step in steps:
            images = step(images)
        return images

    return apply


def _step(text: str, view: str) -> Callable:
    match = _STEP.fullmatch(text)
    down, right, factor = match.groups() if match else (None, None, "0")
    if factor and float(factor) == 0:
        raise InputError(f"view {view!r} is unknown; the forms are {_FORMS}")
    if factor:
        return lambda images: _zoom(images, float(factor))
    if down:
        return lambda images: _shift(images, int(down), int(right))
    return lambda images: images[:, :, ::-1]


def _shift(images: jax.Array, down: int, right: int) -> jax.Array:
    rows, columns = (
        np.clip(np.arange(side) - step, 0, side - 1)
        for side, step in zip(images.shape[1:3], (down, right))
    )
    return images[:, rows][:, :, columns]


def _zoom(images: jax.Array, factor: float) -> jax.Array:
    places = np.arange(images.shape[1])
    centre = places[-1] / 2
    sources = np.clip((places - centre) / factor + centre, 0, places[-1])
    weights = np.maximum(0, 1 - np.abs(sources[:, None] - places)).astype(np.float32)
    return jnp.einsum("iy,jx,byxc->bijc", weights, weights, images, precision="highest")
