"""Random mirrors and translations of training images, drawn on the device."""

import jax
import jax.numpy as jnp


def augment(keys: jax.Array, images: jax.Array, *, flip: bool, shift: int) -> jax.Array:
    """Mirrors each image with probability 1/2 and moves it by up to `shift` pixels.

    Each image has its own key: what happens to it does not depend on the device it is on.

    Args:
      keys: (B,) PRNG keys.
      images: (B, H, W, C) of any dtype.
      flip: whether images are mirrored.
      shift: largest translation along each axis, in pixels; the border is repeated.

    Returns:
      (B, H, W, C) of the same dtype.
    """
    return jax.vmap(lambda key, image: _augment(key, image, flip, shift))(keys, images)


def _augment(key: jax.Array, image: jax.Array, flip: bool, shift: int) -> jax.Array:
    key_flip, key_shift = jax.random.split(key)
    if flip:
        image = jnp.where(jax.random.bernoulli(key_flip), image[:, ::-1], image)
    if shift:
        padded = jnp.pad(image, ((shift, shift), (shift, shift), (0, 0)), mode="edge")
        row, column = jax.random.randint(key_shift, (2,), 0, 2 * shift + 1)
        image = jax.lax.dynamic_slice(padded, (row, column, 0), image.shape)
    return image
