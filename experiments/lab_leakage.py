"""How much a model of the lab leaks: a neighbour auditor, beside the same on random weights."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from data_pipelines import audit_set
from experiments import lab_images
from mint_jax import auditors
from mint_jax.audited import AuditedModel, randomised
from mint_jax.evidence import metrics

_SHARES = {"bank": 0.5, "train": 0.25, "test": 0.25}


def measure(
    model: AuditedModel, source: Any, rows: Mapping[int, np.ndarray], workers: int, seed: int
) -> dict[str, dict]:
    """Banks, training and test images of the auditor share nobody.

    Args:
      model: of the lab.
      source: random-access source with `identities`.
      rows: {1: rows of the members' images, 0: rows of the non-members' images}.
      workers: Grain worker processes.
      seed: of the cut, and of the random weights.

    Returns:
      {"audited": {"auc", "auc_ci95", "n_test"}, "random_network": the same}.
    """
    everything = np.concatenate([rows[1], rows[0]])
    identities = np.asarray(source.identities)[everything]
    labels = np.repeat([1, 0], [len(rows[1]), len(rows[0])])
    networks = {"audited": model, "random_network": randomised(model, seed)}
    outcomes = lab_images.outcomes(networks, source, everything, workers)
    parts = _cut(labels, identities, seed)
    return {name: _read(found, labels, identities, parts) for name, found in outcomes.items()}


def _cut(labels: np.ndarray, identities: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """{part: rows}, members and non-members in equal shares."""
    parts = {part: [] for part in _SHARES}
    for label in (1, 0):
        rows = np.flatnonzero(labels == label)
        for part, found in audit_set.split(identities[rows], _SHARES, seed).items():
            parts[part].append(rows[found])
    return {part: np.concatenate(found) for part, found in parts.items()}


def _read(embeddings, labels, identities, parts) -> dict:
    bank, train, test = (parts[part] for part in _SHARES)
    auditor = auditors.fit_neighbours(
        embeddings[train],
        labels[train],
        embeddings[bank[labels[bank] == 1]],
        embeddings[bank[labels[bank] == 0]],
        np.ones((1, len(train)), bool),
    )
    cell = metrics.evaluate(labels[test], auditor.predict(embeddings[test]), identities[test])
    return {key: cell[key] for key in ("auc", "auc_ci95", "n_test")}
