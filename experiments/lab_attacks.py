"""LiRA and RMIA on a model of the lab, with the other pairs of models as references.

Both are published for classifiers. A network without a head leaves them a named scalar t(x; M):
RMIA compares likelihoods, (1 + cosine) / 2 or a membership probability, and LiRA, which takes
Gaussians, reads their logits. LiRA on the margin of the own class reads the head as well. Sources:
Carlini et al., arXiv 2112.03570, sections V and VI; Zarifzadeh et al., arXiv 2312.03262, section 3.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from mint_jax import baselines
from mint_jax.evidence import metrics

_SMALLEST = 1e-6  # of p and 1 - p; float32 rounds a cosine of nearly one
_OFFLINE = np.linspace(0, 1, 11)  # values that are tried for RMIA's a
_COSINES, _OWN_CLASS = ("flip", "jitter"), "own_margin"
ACCESS = {  # of LiRA and RMIA, by the scalar that they read
    "flip": "reference models",
    "jitter": "reference models",
    "neighbour": "known members and reference models",
    "fusion": "known members and reference models",
    _OWN_CLASS: "head and reference models",
}


@dataclass(frozen=True)
class Study:
    """What all models say of all photos.

    Attributes:
      in_mask: (models, n) bool, whether a model trained on a photo; rows 2 i and 2 i + 1 are of a
        pair.
      scalars: {scalar: (models, n)}; higher is rather a member. Those of auditors are logits.
      strangers: {scalar: (models, m)} of photos of people in no training, whom RMIA takes; without
        the scalars that read the own class.
    """

    in_mask: np.ndarray
    scalars: Mapping[str, np.ndarray]
    strangers: Mapping[str, np.ndarray]


def attacks(
    study: Study, target: int, gamma: float
) -> Iterator[tuple[tuple[str, str], np.ndarray]]:
    """Scores of the photos under one model, beside those under its references.

    Args:
      study: readings of all models; of the target's complement none is read.
      target: the audited model.
      gamma: of RMIA.

    Yields:
      (attack, the scalar that it reads), scores (n,).
    """
    references = without_pair(np.arange(len(study.in_mask)), target)
    in_mask = study.in_mask[references]
    for name in (name for name in ACCESS if name in study.scalars):
        t = study.scalars[name]
        if name != _OWN_CLASS:
            t = logit(_likelihood(name, t))
        yield ("lira_online", name), baselines.lira_online(t[references], in_mask, t[target])
        yield ("lira_offline", name), baselines.lira_offline(t[references], in_mask, t[target])
        if name in study.strangers:
            a = _choose_a(study, name, references, gamma)
            yield ("rmia", name), _rmia(study, name, target, references, a, gamma)


def without_pair(models: np.ndarray, target: int) -> np.ndarray:
    """The models but `target` and its complement, which would give the truth away."""
    return models[models // 2 != target // 2]


def _likelihood(name: str, values: np.ndarray) -> np.ndarray:
    values = values.astype(float)
    p = (1 + values) / 2 if name in _COSINES else expit(values)
    return np.clip(p, _SMALLEST, 1 - _SMALLEST)


def _rmia(
    study: Study, name: str, target: int, references: np.ndarray, a: float, gamma: float
) -> np.ndarray:
    p, strangers = (_likelihood(name, x[name]) for x in (study.scalars, study.strangers))
    in_mask = study.in_mask[references]
    return baselines.rmia(
        p[references],
        in_mask,
        p[target],
        strangers[references],
        strangers[target],
        a=a,
        gamma=gamma,
    )


def _choose_a(study: Study, name: str, references: np.ndarray, gamma: float) -> float:
    """RMIA's a that is best against the first reference, whose members are known."""
    first, members = references[0], study.in_mask[references[0]]
    others = without_pair(references, first)

    def found(a: float) -> float:
        scores = _rmia(study, name, first, others, a, gamma)
        return metrics.auc(scores[members], scores[~members])

    return max(_OFFLINE, key=found)
