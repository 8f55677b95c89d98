"""What an audit asks about each protocol beyond its tables: `mint_jax.evidence.examination`."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from data_pipelines import perturbations
from data_pipelines.attributes import named_attributes
from data_pipelines.sources import identities_of, origins
from experiments.audit_sets import AuditSet
from experiments.reading import View
from mint_jax import audited, auditors, baselines
from mint_jax.evidence import bundle, lint
from mint_jax.evidence.examination import TARGET, Examination, Question, Scores
from mint_jax.evidence.population import OUTCOME, Part, Population
from mint_jax.evidence.protocol import Outcome, Plan
from mint_jax.report import bundle as bundle_page

_SCALARS = "scalars"
_QUANTILE = {"level": 0.9, "l1": 0.01}  # of the regression of the consistency under mirroring


def views(model: audited.AuditedModel, shown: Sequence[str]) -> dict[str, View]:
    """What else reads photos, in the views `shown`: the audited network after each change.

    The baselines have views of their own.
    """
    changed = {
        name: View(model, parts=("test",), change=change.apply, views=shown)
        for name, change in perturbations.CHANGES.items()
    }
    return {
        **changed,
        "same_preparation": View(model, change=perturbations.recompress, views=shown),
        _SCALARS: View(model, parts=("train", "threshold", "test"), scalars=True),
    }


def question(
    others: str,
    populations: Mapping[str, Population],
    plan: Plan,
    outcome: Outcome,
    subject: AuditSet,
    parts: Mapping[str, Mapping[str, Any]],
    config: ConfigDict,
) -> Question:
    """What is asked about the protocol between members and `others`, once it has run.

    Args:
      others: name of the population of its non-members.
      populations: of `audit.read`.
      plan, outcome: of the protocol.
      subject, parts, config: of the audit.
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
        attributes=named_attributes(parts[others]["test"].keys),
        further={
            name: populations[side]["calibration"]
            for name, side in calibrated(others, populations).items()
            if name in ("held_out", "externals")
        },
    )


def calibrated(others: str, populations: Mapping[str, Population]) -> dict[str, str]:
    """{name among the calibration scores of a protocol: population}."""
    sides = {
        "members": "members",
        "non_members": others,
        "unused": "unused",
        "held_out": "non_members",
        "externals": "externals",
    }
    again = {"non_members": "held_out", "externals": "externals"}[others]
    return {k: side for k, side in sides.items() if side in populations and k != again}


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


def write_bundle(
    workdir: Path,
    name: str,
    others: str,
    found: Examination,
    chosen: auditors.TrainedAuditor,
    parts: Mapping[str, Mapping[str, Any]],
    described: Mapping[str, Any],
    config: ConfigDict,
) -> None:
    """Writes the evidence bundle of a protocol and the auditor that decides.

    Args:
      workdir: of the audit, which holds its manifest already.
      name: of the protocol.
      others: name of the population of its non-members.
      found: the evidence.
      chosen: the auditor that decides, with its gate.
      parts: {population: {part: source}} of the audit.
      described: {"audited", "date", "device", "versions"} of `tables.json`.
      config: of the audit.
    """
    folder, auditor = workdir / "evidence" / name, workdir / "auditors" / name / "chosen"
    auditors.save(chosen, auditor)
    manifest = workdir / "manifest.json"
    origin = bundle.about(
        folder,
        audited=described["audited"],
        auditor=auditor,
        manifest=manifest,
        configuration=json.loads(config.to_json_best_effort()),
        seeds={"audit": config.seed},
        versions=described,
    )
    names = {"members": "members", "non_members": others, "unused": "unused"}
    observed = {
        side: {
            part: bundle.Observed(parts[names[side]][part].keys, *values)
            for part, values in of_side.items()
        }
        for side, of_side in found.observed().items()
    }
    calls = {k: v.called(TARGET) for k, v in found.scores.items() if k != "chosen"}
    matched = others == "non_members"
    salt = bundle.salt_of(manifest)
    document = bundle.audit(found.block, observed, calls, origin, matched=matched, salt=salt)
    bundle_page.write(folder, document)


def lint_audit(
    others: str,
    found: Examination,
    parts: Mapping[str, Mapping[str, Any]],
    subject: AuditSet,
    config: ConfigDict,
) -> list[dict]:
    """What is wrong with a protocol of an audit: `evidence.lint`, as JSON."""
    sides = {side: parts[side] for side in ("members", others, "unused") if side in parts}
    points = found.block["operating_points"]
    scores = {
        {"non_members": others}.get(side, side): {part: row for part, (_, row) in named.items()}
        for side, named in found.observed().items()
    }
    screen = config.screen_network and audited.load(config.screen_network).sha256
    description = {
        "parts": {
            side: {part: _named(source) for part, source in of_side.items()}
            for side, of_side in sides.items()
        },
        "labels": {side: int(side in ("members", "unused")) for side in sides if side != "unused"},
        "matched": others == "non_members",
        "scores": scores,
        "thresholds": {fpr: point["threshold"] for fpr, point in points.items() if point},
        "claimed_fprs": [float(fpr) for fpr, point in points.items() if point],
        "audited_sha256": subject.model.sha256,
        "screen_sha256": screen or None,
        "preparation": subject.preparation,
    }
    return [dataclasses.asdict(finding) for finding in lint.lint(description)]


def _named(source: Any) -> dict[str, Any]:
    """Names of images and people that hold over all sources of an audit."""
    keys, people = [None] * len(source), [None] * len(source)
    for base, rows, places in origins(source, np.arange(len(source))):
        names, whose = base.keys, identities_of(base, rows)
        for row, place, person in zip(rows.tolist(), places, whose.tolist()):
            keys[place] = f"{base.fingerprint()[:12]}/{names[row]}"
            people[place] = f"{base.fingerprint()[:12]}/{person}"
    return {"keys": keys, "identities": people}
