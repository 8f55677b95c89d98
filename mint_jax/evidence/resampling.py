"""Identity-clustered bootstrap: how often every test image counts in each resample."""

from collections.abc import Iterator

import numpy as np

_BLOCK = 250_000  # weights held at once: 1 MB stays in a cache, which halves the time


def image_weights(
    labels: np.ndarray, identities: np.ndarray, resamples: int, seed: int
) -> Iterator[np.ndarray]:
    """Draws whole identities with replacement: images of a person are not independent.

    People with only member images, with only non-member images and with both are drawn
    apart from each other, so that the shares of the classes stay as they are. Source:
    Davison and Hinkley, "Bootstrap Methods and their Application" (1997), 3.2 and 3.8.

    Args:
      labels: (n,) 1 = member.
      identities: (n,) of any type that sorts.
      resamples: number of resamples.
      seed: of the draws.

    Yields:
      (n, r) float32 blocks of weights, `resamples` columns in all; 2 = counts twice.
    """
    rng = np.random.default_rng(seed)
    people, person = np.unique(identities, return_inverse=True)
    has = np.zeros((2, len(people)), bool)
    has[labels, person] = True
    kinds = has[0] + 2 * has[1]
    step = max(1, _BLOCK // len(labels))
    for begin in range(0, resamples, step):
        size = min(step, resamples - begin)
        counts = np.zeros((len(people), size), np.float32)
        for kind in np.unique(kinds):
            rows = np.flatnonzero(kinds == kind)
            counts[rows] = _draw(rng, len(rows), size)
        yield counts.take(person, axis=0)


def _draw(rng: np.random.Generator, people: int, resamples: int) -> np.ndarray:
    """(people, resamples) counts; every column adds up to `people`."""
    drawn = rng.integers(people, size=(resamples, people))
    drawn += people * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=people * resamples)
    return counts.reshape(resamples, people).T
