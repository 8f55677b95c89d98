"""Face verification: does a model recognise people whom it has never seen?"""

import numpy as np


def verification_pairs(
    embeddings: np.ndarray, identities: np.ndarray, *, impostors: int = 20000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cosines of all genuine pairs and of random impostor pairs.

    Args:
      embeddings: (n, D) float, of any length.
      identities: (n,) int.
      impostors: impostor pairs drawn.
      seed: of the draw.

    Returns:
      labels (p,) 1 = the same person, cosines (p,), and the identity (p,) of the first image
      of each pair, along which intervals are to be resampled.
    """
    unit = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    same = np.triu(identities[:, None] == identities[None], k=1)
    genuine = np.stack(np.nonzero(same))
    drawn = np.random.default_rng(seed).integers(len(unit), size=(2, impostors))
    drawn = drawn[:, identities[drawn[0]] != identities[drawn[1]]]
    first, second = np.concatenate([genuine, drawn], axis=1)
    labels = np.repeat([1, 0], [genuine.shape[1], drawn.shape[1]])
    return labels, np.sum(unit[first] * unit[second], axis=1), identities[first]
