"""Membership scores out of the classification head, where it is disclosed.

Training draws photos and the centre of their class together, so with the head a lookup is enough.
The margin is the hinge form of the confidence that LiRA reads: Carlini et al., "Membership
Inference Attacks From First Principles", arXiv 2112.03570, section VI.
"""

from collections.abc import Iterator

import numpy as np

_ROWS = 256  # against 360,000 centres, 370 MB of cosines


def nearest_centre(embeddings: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Cosine to the nearest class centre; needs no label.

    Args:
      embeddings: (n, D).
      centres: (classes, D) of the head.

    Returns:
      (n,) float32.
    """
    return np.concatenate([cosines.max(axis=1) for _, cosines in _cosines(embeddings, centres)])


def own_centre(embeddings: np.ndarray, centres: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Cosine (n,) float32 to the centre of the class (n,) that each photo is said to be of."""
    return np.sum(_unit(embeddings) * _unit(centres)[classes], axis=1)


def own_margin(embeddings: np.ndarray, centres: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Cosine to the own class's centre less the largest to any other: (n,) float32."""
    margins = []
    for rows, cosines in _cosines(embeddings, centres):
        own = np.take_along_axis(cosines, np.asarray(classes)[rows, None], axis=1)[:, 0]
        np.put_along_axis(cosines, np.asarray(classes)[rows, None], -np.inf, axis=1)
        margins.append(own - cosines.max(axis=1))
    return np.concatenate(margins)


def _cosines(embeddings: np.ndarray, centres: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    centres = _unit(centres).T
    for begin in range(0, len(embeddings), _ROWS):
        rows = slice(begin, begin + _ROWS)
        yield rows, _unit(embeddings[rows]) @ centres


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
