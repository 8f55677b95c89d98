"""An audit from its configuration to its tables: both protocols, each beside its controls."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from experiments import audit_sets, versions
from experiments.reading import Reader
from mint_jax import aad, audited, auditors, report
from mint_jax.errors import InputError
from mint_jax.evidence.protocol import CONV_LAYERS, OUTCOME, Outcome, Plan, Population, Protocol

_PEOPLE = 1 << 32  # identities of one population stay below; the next one's begin here


def run(config: ConfigDict, workdir: Path) -> dict:
    """Runs an audit and writes `tables.json`, `report.html` and `auditors/` into `workdir`.

    Returns:
      The content of `tables.json`.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / "config.json").write_text(config.to_json_best_effort(indent=1))
    subject = getattr(audit_sets, config.audit_set)(config, workdir)
    populations = read(subject, config)
    plan = make_plan(config, subject.model)
    tables, scores = {}, {}
    for name, others in (("matched", "non_members"), ("cross_database", "externals")):
        if populations[others] is None:
            tables[name] = None
            continue
        outcome = _protocol(name, populations, others, plan, config.controls)
        tables[name] = outcome.tables
        scores |= {f"{name}/{key}": value for key, value in outcome.scores.items()}
        for kind, auditor in outcome.auditors.items():
            auditors.save(auditor, workdir / "auditors" / name / kind)
    result = {
        "audited": describe(subject.model),
        "protocols": tables,
        "sizes": list(config.sizes),
        "sets": _counts(populations),
        "matched_reason": subject.no_match,
        "notes": [*subject.notes, _coverage(populations, subject)],
        **versions.describe(),
    }
    (workdir / "tables.json").write_text(json.dumps(result, indent=1))
    report.write_html(workdir / "report.html", result, scores, {"workdir": str(workdir)})
    print(report.console(result))
    return result


def make_plan(config: ConfigDict, model: audited.AuditedModel) -> Plan:
    """The plan of auditors that `config` asks for, on the layers that `model` has."""
    outcome = [layer for layer in model.layers if not layer.startswith("conv")]
    conv = [layer for layer in model.layers if layer.startswith("conv")]
    return Plan(
        layers=(*conv, *outcome, aad.ALL_CONV),
        sha256=model.sha256,
        sizes=tuple(config.sizes),
        seeds=config.seeds,
        cnn_seeds=config.cnn_seeds,
        validation=config.validation,
        vanilla=config.vanilla.to_dict(),
        cnn=config.cnn.to_dict(),
        neighbour=config.neighbour.to_dict(),
        seed=config.seed,
    )


def read(subject: audit_sets.AuditSet, config: ConfigDict) -> dict[str, Population | None]:
    """Reads the AAD of members, non-members and externals; None where there are none."""
    networks = {"audited": subject.model}
    if "random_network" in config.controls:
        networks["random_network"] = audited.randomised(subject.model, config.seed)
    reader = Reader(
        networks,
        maps=config.cnn_seeds > 0,
        batch=config.per_device_batch,
        workers=config.workers,
    )
    wanted = audit_sets.wanted_images(config)
    groups = {
        "members": [subject.members],
        "non_members": [subject.non_members] if subject.non_members else [],
        "externals": list(subject.externals.values()),
    }
    populations = {}
    for number, (name, sources) in enumerate(groups.items()):
        parts = audit_sets.partition(sources, wanted, config.seed) if sources else None
        offset = number * _PEOPLE
        populations[name] = parts and reader.population(name, parts, offset)
    return populations


def _protocol(
    name: str,
    populations: Mapping[str, Population],
    others: str,
    plan: Plan,
    controls: tuple[str, ...],
) -> Outcome:
    """Runs a protocol and its controls, the controls at the largest number of samples."""
    members, non_members = populations["members"], populations[others]
    true = populations["non_members"]
    bystanders = true["test"] if others == "externals" and true else None
    largest = (max(plan.sizes),)
    protocol = functools.partial(Protocol, members, non_members)
    outcome = protocol(plan, bystanders=bystanders, title=name).run()
    found = outcome.tables["controls"] = {}
    if "random_network" in controls:
        control = protocol(
            plan, network="random_network", sizes=largest, title=f"{name}, random network"
        ).run()
        found["random_network"] = control.tables
        outcome.scores |= {f"random_network/{k}": v for k, v in control.scores.items()}
    if "shuffled_labels" in controls:
        fast = dataclasses.replace(plan, cnn_seeds=0)
        title = f"{name}, shuffled labels"
        found["shuffled_labels"] = (
            protocol(fast, shuffled=True, sizes=largest, title=title).run().tables
        )
    if "pixels" in controls:
        control = protocol(plan).pixels()
        found |= control.tables
        outcome.scores |= control.scores
    return outcome


def describe(model: audited.AuditedModel) -> dict:
    """What `tables.json` says of the audited model."""
    return {
        "name": model.name,
        "sha256": model.sha256,
        "layers": list(model.layers),
        "input_size": model.input_size,
        "info": dict(model.info),
    }


def _counts(populations: Mapping[str, Population | None]) -> dict:
    return {
        name: {
            part: {"images": len(p.identities), "people": len(np.unique(p.identities))}
            for part, p in population.items()
        }
        for name, population in populations.items()
        if population
    }


def _coverage(populations: Mapping[str, Population | None], subject: audit_sets.AuditSet) -> str:
    bank, everybody = len(populations["members"]["bank"].identities), len(subject.members)
    return (
        f"The neighbour auditor's bank holds {bank:,} of the {everybody:,} member images that were "
        f"given ({bank / everybody:.0%}); what it reads grows with its share of the training set. "
        "Nobody in a bank is among the people of the other parts."
    )


def train_one(config: ConfigDict, workdir: Path) -> dict:
    """Trains the auditor `config.auditor` on `config.layer` under `config.protocol`; exports it.

    Returns:
      The cell of what it reads on the test part.

    Raises:
      InputError: a protocol, an auditor or a layer that this audit does not have.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    subject = getattr(audit_sets, config.audit_set)(config, workdir)
    plan = make_plan(config, subject.model)
    kinds = {"vanilla": plan.layers, "cnn": CONV_LAYERS, "neighbour": (OUTCOME,)}
    if config.layer not in kinds.get(config.auditor, ()):
        known = "; ".join(f"{kind}: {', '.join(layers)}" for kind, layers in kinds.items())
        raise InputError(f"no auditor {config.auditor!r} reads {config.layer!r} ({known})")
    others = {"matched": "non_members", "cross_database": "externals"}.get(config.protocol)
    if others is None or not getattr(subject, others):
        raise InputError(f"this audit has no {config.protocol!r} protocol")
    unused = {"externals": {}} if others == "non_members" else {"non_members": None}
    config = config.copy_and_resolve_references()
    config.update(controls=(), cnn_seeds=int(config.auditor == "cnn"))
    populations = read(dataclasses.replace(subject, **unused), config)
    job = (config.auditor, config.layer, 1)
    protocol = Protocol(populations["members"], populations[others], plan, sizes=(max(plan.sizes),))
    outcome = protocol.run([job])
    (auditor,) = outcome.auditors.values()
    auditors.save(auditor, workdir / "auditor")
    return auditor.meta["measured"]
