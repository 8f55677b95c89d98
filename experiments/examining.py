"""What an audit asks about each protocol beyond its tables: `mint_jax.evidence.examination`."""

from collections.abc import Mapping

import numpy as np
from ml_collections import ConfigDict

from data_pipelines import perturbations
from experiments.audit_sets import AuditSet
from experiments.reading import View
from mint_jax import baselines
from mint_jax.audited import AuditedModel
from mint_jax.evidence.examination import Question, Scores
from mint_jax.evidence.protocol import OUTCOME, Outcome, Part, Plan, Population

_SCALARS = "scalars"
_QUANTILE = {"level": 0.9, "l1": 0.01}  # of the regression of the consistency under mirroring


def views(model: AuditedModel) -> dict[str, View]:
    """What else reads photos: the audited network after each change, and the baselines."""
    changed = {
        name: View(model, parts=("test",), change=change.apply)
        for name, change in perturbations.CHANGES.items()
    }
    return {
        **changed,
        "same_preparation": View(model, change=perturbations.recompress),
        _SCALARS: View(model, parts=("train", "threshold", "test"), scalars=True),
    }


def question(
    name: str,
    others: str,
    populations: Mapping[str, Population],
    plan: Plan,
    outcome: Outcome,
    subject: AuditSet,
    config: ConfigDict,
) -> Question:
    """What is asked about the protocol `name` between members and `others`, once it has run.

    Args:
      name: of the protocol.
      others: name of the population of its non-members.
      populations: of `audit.read`.
      plan, outcome: of the protocol.
      subject, config: of the audit.
    """
    networks = {
        "random_network": ["random_network"]
        + [f"random_network_{i}" for i in range(1, config.random_networks)],
        "other_network": ["other_network"],
    }
    return Question(
        populations["members"],
        populations[others],
        plan,
        outcome.validation,
        matched=others == "non_members",
        networks=networks,
        shuffles=config.shuffles if "shuffled_labels" in config.controls else 0,
        changes={k: c.words for k, c in perturbations.CHANGES.items() if config.robustness},
        unused=populations.get("unused"),
        databases=_databases(populations[others], subject),
        baselines=_baselines(populations, others, subject) if config.robustness else {},
        title=f"{name}, evidence",
    )


def _databases(population: Population, subject: AuditSet) -> list[str]:
    known = population["test"].databases is not None
    return list(subject.externals) if known else []


def _baselines(
    populations: Mapping[str, Population], others: str, subject: AuditSet
) -> dict[str, Scores]:
    """{baseline: its scores} of those that need no reference models."""
    places = [(others, "threshold"), ("members", "test"), (others, "test")]

    def scalar(name: str, side: str, part: str) -> np.ndarray:
        return populations[side][part].readings[_SCALARS].maxima[name]

    names = populations[others]["test"].readings[_SCALARS].maxima
    found = {name: [scalar(name, *place) for place in places] for name in names}
    if populations[others]["train"].pixels.size:
        fitted = baselines.fit_quantile(
            populations[others]["train"].pixels, scalar("flip", others, "train"), **_QUANTILE
        )
        found["quantile"] = [
            fitted.excess(populations[side][part].pixels, scalar("flip", side, part))
            for side, part in places
        ]
    if subject.head is not None:
        found["nearest_centre"] = [
            baselines.nearest_centre(_outcome(populations[side][part]), subject.head)
            for side, part in places
        ]
    return {name: Scores(*(row[None] for row in rows)) for name, rows in found.items()}


def _outcome(part: Part) -> np.ndarray:
    return part.readings["audited"].maxima[OUTCOME]
