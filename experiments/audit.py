"""An audit from its configuration to its tables: both protocols, each beside its controls."""

import contextlib
import dataclasses
import functools
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from data_pipelines import audit_set, manifest
from data_pipelines.sources import Subset
from experiments import audit_sets, examining, supporting, versions
from experiments.metrics import Metrics
from experiments.reading import EVERYWHERE, Reader, View
from mint_jax import aad, audited, auditors, parallel, report
from mint_jax.baselines import pixels
from mint_jax.errors import InputError
from mint_jax.evidence import support
from mint_jax.evidence.examination import Examination
from mint_jax.evidence.population import CONV_LAYERS, OUTCOME, Population
from mint_jax.evidence.protocol import Outcome, Plan, Protocol

_GATED = tuple(part for part in EVERYWHERE if part != "validation")  # read by the other network
_BLIND = {"pixels": pixels.pixel_features, "thumbnails": support.thumbnails}
_PEOPLE = 1 << 32  # identities of one population stay below; the next one's begin here


def run(config: ConfigDict, workdir: Path) -> dict:
    """Runs an audit and writes `tables.json`, `report.html` and `auditors/` into `workdir`.

    `manifest.json` says which images were used. A run that was stopped goes on behind the last
    protocol that it finished, and with the auditors that were being trained; a run that came to its
    end begins anew. Several processes divide the reading of images and the training of auditors.

    Returns:
      The content of `tables.json`.
    """
    finished = _Finished(workdir, config)
    subject = getattr(audit_sets, config.audit_set)(config, workdir)
    parts = draw(subject, config)
    first = not parallel.process_index()
    if first:
        manifest.write(workdir / "manifest.json", parts, seed=config.seed, dropped=subject.dropped)
    populations = _from_databases(read(subject, parts, config, workdir), parts, subject)
    plan = make_plan(config, subject.model)
    described = {"audited": describe(subject.model), **versions.describe()}
    tables, scores = {}, {}
    for name, others in (("matched", "non_members"), ("cross_database", "externals")):
        if others not in populations:
            tables[name] = None
            continue
        if name not in finished:
            outcome = _protocol(name, populations, others, plan, config.controls, finished.auditors)
            question = examining.question(
                others, populations, plan, outcome, subject, parts, config
            )
            found = Examination(question)
            notes = examining.lint_audit(others, found, parts, subject, config)
            gate = supporting.AuditGate(others, populations, parts, config)
            chosen = gate.export(found.auditor, examining.calibrated(others, populations))
            kept = {"lint": notes, "support": gate.shares(config.seed)}
            outcome.tables["evidence"] = found.block | kept
            outcome.scores |= found.plotted()
            if first:
                examining.write_bundle(
                    workdir, name, others, found, chosen, parts, described, config
                )
                for kind, auditor in outcome.auditors.items():
                    auditors.save(auditor, workdir / "auditors" / name / kind)
                finished.add(name, outcome)
            parallel.barrier("protocol")
        tables[name], found = finished[name]
        scores |= {f"{name}/{key}": value for key, value in found.items()}
    notes = [*subject.notes, _coverage(populations, subject, config.sizes)]
    if config.cnn_seeds and config.maps != "float32":
        notes.append(f"CNN auditors read maps that were rounded to {config.maps}.")
    result = described | {
        "protocols": tables,
        "sizes": list(config.sizes),
        "sets": _counts(populations),
        "matched_reason": subject.no_match,
        "notes": notes,
    }
    if first:
        (workdir / "tables.json").write_text(json.dumps(result, indent=1))
        report.write_html(workdir / "report.html", result, scores, {"workdir": str(workdir)})
        finished.clear()
    print(report.console(result))
    return result


class _Finished:
    """Protocols that a run which was stopped had finished, in `workdir/unfinished`.

    Attributes:
      auditors: folder of the auditors that it was training.
    """

    def __init__(self, workdir: Path, config: ConfigDict):
        self._folder = workdir / "unfinished"
        self.auditors, record = self._folder / "auditors", self._folder / "config.json"
        content = config.to_json_best_effort(indent=1)
        if not parallel.process_index():
            if not record.exists() or record.read_text() != content:
                self.clear()
            self._folder.mkdir(parents=True, exist_ok=True)
            record.write_text(content)
        parallel.barrier("claimed")

    def __contains__(self, name: str) -> bool:
        return (self._folder / f"{name}.json").exists()

    def add(self, name: str, outcome: Outcome) -> None:
        arrays = {
            f"{k}:{part}": v for k, both in outcome.scores.items() for part, v in both.items()
        }
        np.savez(self._folder / f"{name}.npz", **arrays)
        partly = self._folder / f"{name}.partly"
        partly.write_text(json.dumps(outcome.tables))
        partly.rename(self._folder / f"{name}.json")

    def __getitem__(self, name: str) -> tuple[dict, dict]:
        """Tables and scores of a protocol."""
        scores = {}
        with np.load(self._folder / f"{name}.npz") as arrays:
            for key, values in arrays.items():
                place, _, part = key.rpartition(":")
                scores.setdefault(place, {})[part] = values
        return json.loads((self._folder / f"{name}.json").read_text()), scores

    def clear(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def make_plan(config: ConfigDict, model: audited.AuditedModel) -> Plan:
    """The plan of auditors that `config` asks for, on the layers that `model` has."""
    outcome = [layer for layer in model.layers if not layer.startswith("conv")]
    conv = [layer for layer in model.layers if layer.startswith("conv")]
    return Plan(
        layers=(*conv, *outcome, aad.ALL_CONV),
        sha256=model.sha256,
        sizes=tuple(config.sizes),
        views=tuple(config.views),
        seeds=config.seeds,
        cnn_seeds=config.cnn_seeds,
        validation=config.validation,
        vanilla=config.vanilla.to_dict(),
        cnn=config.cnn.to_dict(),
        neighbour=config.neighbour.to_dict(),
        fusion=config.fusion.to_dict(),
        seed=config.seed,
    )


def read(
    subject: audit_sets.AuditSet,
    parts: Mapping[str, Mapping[str, Any]],
    config: ConfigDict,
    folder: Path | None = None,
) -> dict[str, Population]:
    """Reads the AAD of every image of `parts`, {population: {part: source}}.

    Maps for which memory has no room stay on the disk of `folder`.
    """
    shown, maps = tuple(config.views), config.cnn_seeds > 0
    views = {"audited": View(subject.model, EVERYWHERE, maps, views=shown)}
    if "random_network" in config.controls:
        for i in range(config.random_networks):
            drawn = audited.randomised(subject.model, config.seed + i)
            first = {"random_network": View(drawn, maps=maps, views=shown)}
            views |= {f"random_network_{i}": View(drawn, views=shown)} if i else first
    if config.other_network:
        network = _other_network(subject.model, config)
        views[supporting.NETWORK] = View(network, parts=_GATED, views=shown)
    if config.robustness:
        views |= examining.views(subject.model, shown)
    reader = Reader(
        views,
        statistics=_BLIND if "pixels" in config.controls else {},
        batch=config.per_device_batch,
        workers=config.workers,
        stores=[aad.open_store(base) for base in config.stores if base],
        folder=folder,
        maps=config.maps,
    )
    return reader.populations(parts, _PEOPLE)


def _other_network(model: audited.AuditedModel, config: ConfigDict) -> audited.AuditedModel:
    """The control that knows faces and did not train on the members."""
    other = audited.load(config.other_network)
    if other.sha256 == model.sha256:
        raise InputError(f"{config.other_network}: other_network is the audited model itself")
    return other


def draw(subject: audit_sets.AuditSet, config: ConfigDict) -> dict[str, dict[str, Any]]:
    """{population: {part: source}} of the populations that the audit has."""
    if subject.parts is not None:
        return subject.parts
    externals = list(subject.externals.values())
    weights = list(config.weights) or [1.0] * len(externals)
    sides = {
        "members": ([subject.members], None),
        "non_members": ([subject.non_members] if subject.non_members else [], None),
        "externals": (externals, weights),
    }
    parts = {}
    for side, (sources, weights) in sides.items():
        if sources:
            wanted = audit_sets.wanted_images(config, side)
            parts[side] = audit_set.partition(
                sources, wanted, config.seed, weights=weights, by=config.split_by
            )
    if subject.unused is not None:
        people = subject.unused.identities
        parts["unused"] = {
            name: Subset(subject.unused, np.flatnonzero(np.isin(people, part.identities)))
            for name, part in parts["members"].items()
            if name in ("calibration", "test")
        }
    return parts


def _protocol(
    name: str,
    populations: Mapping[str, Population],
    others: str,
    plan: Plan,
    controls: tuple[str, ...],
    workdir: Path,
) -> Outcome:
    """Runs a protocol and its controls, the controls at the largest number of samples.

    Its auditors that were stopped go on from `workdir`.
    """
    members, non_members = populations["members"], populations[others]
    true = populations.get("non_members")
    bystanders = true["test"] if others == "externals" and true else None
    largest = (max(plan.sizes),)
    protocol = functools.partial(Protocol, members, non_members, workdir=workdir)
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
        control = protocol(plan).run([("pixels", "pixels", plan.seeds)])
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


def _from_databases(
    populations: dict[str, Population], parts: Mapping[str, Mapping], subject: audit_sets.AuditSet
) -> dict[str, Population]:
    """The same populations, where the externals know which of the databases they are from."""
    if subject.parts is not None or "externals" not in parts:
        return populations
    ends = np.cumsum([len(source) for source in subject.externals.values()])
    externals = {
        name: dataclasses.replace(
            part, databases=np.searchsorted(ends, parts["externals"][name].rows, side="right")
        )
        for name, part in populations["externals"].items()
    }
    return populations | {"externals": externals}


def _counts(populations: Mapping[str, Population]) -> dict:
    return {
        name: {
            part: {"images": len(p.identities), "people": len(np.unique(p.identities))}
            for part, p in population.items()
        }
        for name, population in populations.items()
    }


def _coverage(
    populations: Mapping[str, Population], subject: audit_sets.AuditSet, sizes: Sequence[int]
) -> str:
    bank, everybody = len(populations["members"]["bank"].identities), subject.member_images
    known = bank + max(sizes) // 2
    return (
        f"The neighbour auditor's bank holds {bank:,} of the {everybody:,} member images that were "
        f"given ({bank / everybody:.0%}), that of the fused auditor its training samples too, "
        f"{known:,} at most ({known / everybody:.0%}); what they read grows with their share of "
        "the training set. Nobody in a bank is among the people who are asked about."
    )


def train_one(config: ConfigDict, workdir: Path) -> dict:
    """Trains the auditor `config.auditor` on `config.layer` under `config.protocol`; exports it.

    A training that was stopped goes on, by any number of processes.

    Returns:
      The cell of what it reads on the test part.

    Raises:
      InputError: a protocol, an auditor or a layer that this audit does not have.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    subject = getattr(audit_sets, config.audit_set)(config, workdir)
    plan = make_plan(config, subject.model)
    kinds = {
        "vanilla": plan.layers,
        "cnn": (*CONV_LAYERS, aad.ALL_CONV),
        **dict.fromkeys(("neighbour", "fusion"), (OUTCOME,)),
    }
    if config.layer not in kinds.get(config.auditor, ()):
        known = "; ".join(f"{kind}: {', '.join(layers)}" for kind, layers in kinds.items())
        raise InputError(f"no auditor {config.auditor!r} reads {config.layer!r} ({known})")
    others = {"matched": "non_members", "cross_database": "externals"}.get(config.protocol)
    if others is None or not getattr(subject, others):
        raise InputError(f"this audit has no {config.protocol!r} protocol")
    unused = {"externals": {}} if others == "non_members" else {"non_members": None}
    config = config.copy_and_resolve_references()
    config.update(controls=(), cnn_seeds=int(config.auditor == "cnn"))
    subject = dataclasses.replace(subject, **unused)
    populations = read(subject, draw(subject, config), config, workdir)
    job = (config.auditor, config.layer, 1)
    unfinished = workdir / "unfinished"
    with contextlib.closing(Metrics(workdir)) as metrics:
        protocol = Protocol(
            populations["members"],
            populations[others],
            plan,
            sizes=(max(plan.sizes),),
            workdir=unfinished,
            on_epoch=lambda job, cells, epoch, losses: metrics.write(
                epoch, {"validation_loss": losses[0]}
            ),
        )
        outcome = protocol.run([job])
    (auditor,) = outcome.auditors.values()
    if not parallel.process_index():
        auditors.save(auditor, workdir / "auditor")
        shutil.rmtree(unfinished, ignore_errors=True)
    return auditor.meta["measured"]
