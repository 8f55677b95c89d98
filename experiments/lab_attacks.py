"""Attacks on models of the lab, each in turn the audited one, beside reference models or without.

LiRA and RMIA are published for classifiers. A network without a head leaves them a named scalar
t(x; M): RMIA compares likelihoods, (1 + cosine) / 2 or a membership probability, and LiRA, which
takes Gaussians, reads their logits. LiRA on the margin of the own class reads the head as well.
Sources: Carlini et al., arXiv 2112.03570, sections V and VI; Zarifzadeh et al., arXiv 2312.03262,
section 3.
"""

from collections.abc import Iterator

import numpy as np
from scipy.special import logit
from tqdm import tqdm

from experiments.lab_references import Study
from mint_jax import baselines
from mint_jax.baselines import BASELINES, Baseline
from mint_jax.evidence import metrics

_SMALLEST = 1e-6  # of p and 1 - p; float32 rounds a cosine of nearly one
_OFFLINE = np.linspace(0, 1, 11)  # values that are tried for RMIA's a
_FPR = 0.01
_CATALOGUE = BASELINES | {
    "neighbour": Baseline("neighbour", "neighbour auditor", "known members"),
    "own_margin": Baseline("own_margin", "margin of the own class's centre", "head"),
}
_ACCESS = {  # of LiRA and RMIA, by the scalar that they read
    "flip": "reference models",
    "jitter": "reference models",
    "neighbour": "known members and reference models",
    "own_margin": "head and reference models",
}
_ORDER = ("embedding", "weights", "known members", "head", *dict.fromkeys(_ACCESS.values()))


def compare(study: Study, gamma: float) -> list[dict]:
    """Every score on the same photos, each model in turn as the audited one.

    Args:
      study: readings of all models.
      gamma: of RMIA.

    Returns:
      [{"name", "scalar" that a reference-model attack reads or None, "title", "access", and what
      `metrics.over_models` says}], least access first.
    """
    models = range(len(study.in_mask))
    scores = [dict(attacks(study, target, gamma)) for target in models]
    rows = []
    for name, scalar in tqdm(scores[0], "resampling"):
        tests = [
            (study.in_mask[i].astype(int), scores[i][name, scalar], study.identities)
            for i in models
        ]
        known = _CATALOGUE[name]
        rows.append(
            {
                "name": name,
                "scalar": scalar,
                "title": f"{known.title}: {_CATALOGUE[scalar].title}" if scalar else known.title,
                "access": _ACCESS[scalar] if scalar else known.access,
                **metrics.over_models(tests, fpr=_FPR),
            }
        )
    return sorted(rows, key=lambda row: _ORDER.index(row["access"]))


def attacks(
    study: Study, target: int, gamma: float
) -> Iterator[tuple[tuple[str, str | None], np.ndarray]]:
    """All scores of the photos under one model.

    Args:
      study: readings of all models; of the target's complement none is read.
      target: the audited model.
      gamma: of RMIA.

    Yields:
      (name, scalar that a reference-model attack reads or None), scores (n,).
    """
    for name, t in study.scalars.items():
        yield (name, None), t[target]
    references = _without_pair(np.arange(len(study.in_mask)), target)
    in_mask = study.in_mask[references]
    for name in (name for name in _ACCESS if name in study.scalars):
        likely = name in study.strangers
        t = logit(_likelihood(name, study.scalars[name])) if likely else study.scalars[name]
        yield ("lira_online", name), baselines.lira_online(t[references], in_mask, t[target])
        yield ("lira_offline", name), baselines.lira_offline(t[references], in_mask, t[target])
        if likely:
            a = _choose_a(study, name, references, gamma)
            yield ("rmia", name), _rmia(study, name, target, references, a, gamma)


def _without_pair(models: np.ndarray, target: int) -> np.ndarray:
    """The models but `target` and its complement, which would give the truth away."""
    return models[models // 2 != target // 2]


def _likelihood(name: str, values: np.ndarray) -> np.ndarray:
    p = values.astype(float) if name == "neighbour" else (1 + values.astype(float)) / 2
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
    others = _without_pair(references, first)

    def found(a: float) -> float:
        scores = _rmia(study, name, first, others, a, gamma)
        return metrics.auc(scores[members], scores[~members])

    return max(_OFFLINE, key=found)
