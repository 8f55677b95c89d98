"""Augmentation: what it can do to an image, and how often."""

import jax
import numpy as np
import pytest

from mint_jax.lab.augmentation import augment

SIZE, SHIFT = 6, 2
IMAGE = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


def many(n, **options):
    keys = jax.random.split(jax.random.key(0), n)
    return np.asarray(augment(keys, np.repeat(IMAGE[None], n, axis=0), **options))


def allowed(flip):
    """Every mirror and translation of IMAGE, by NumPy."""
    views = {}
    for mirrored in (False, True) if flip else (False,):
        image = IMAGE[:, ::-1] if mirrored else IMAGE
        padded = np.pad(image, ((SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), mode="edge")
        for row in range(2 * SHIFT + 1):
            for column in range(2 * SHIFT + 1):
                view = padded[row : row + SIZE, column : column + SIZE]
                views[view.tobytes()] = mirrored, row - SHIFT, column - SHIFT
    return views


@pytest.mark.parametrize("flip", [True, False])
def test_every_view_is_a_mirror_or_translation_and_all_occur_evenly(flip):
    views, n = allowed(flip), 4000
    assert len(views) == 25 * (1 + flip)
    seen = [views[view.tobytes()] for view in many(n, flip=flip, shift=SHIFT)]
    counts = np.unique(seen, axis=0, return_counts=True)[1]
    assert len(counts) == len(views)
    expected = n / len(views)
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


def test_nothing_asked_for_is_the_identity():
    np.testing.assert_array_equal(many(3, flip=False, shift=0), np.stack([IMAGE] * 3))


def test_an_image_depends_on_its_own_key_alone():
    keys = jax.random.split(jax.random.key(1), 5)
    images = np.random.default_rng(1).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    together = augment(keys, images, flip=True, shift=2)
    alone = augment(keys[3:4], images[3:4], flip=True, shift=2)
    assert together.dtype == np.uint8
    np.testing.assert_array_equal(together[3:4], alone)
