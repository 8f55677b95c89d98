"""A small examination and its evidence bundle, with everything that the bundle points to.

Nothing is trained: a stand-in for `Protocol` scores by a column of what a network says. All claims
are those that the real `Examination` makes out of such scores.
"""

import json
from unittest import mock

import numpy as np
from scipy.special import expit

from mint_jax.auditors import TrainedAuditor
from mint_jax.evidence import bundle, examination
from mint_jax.evidence.population import Part, Readings
from mint_jax.evidence.protocol import Plan

MEMBERS = {"bank": 20, "train": 60, "validation": 20, "calibration": 240, "test": 240}
PARTS = {
    "members": MEMBERS,
    "non_members": MEMBERS | {"threshold": 1000, "test": 1000},
    "unused": {part: MEMBERS[part] for part in ("calibration", "test")},
}
NETWORKS = ("random_network", "random_network_1")
VERSIONS = {"date": "2026-01-01T00:00:00+00:00", "versions": {"numpy": np.__version__}}
SHA256 = "ab" * 32
SEED = 5


class _Untrained:
    def __init__(self, members, others, plan, *, sizes, network="audited", shuffled=False):
        self._network, self._shuffled = network, shuffled

    def scorer(self, job):
        kind, _, seeds = job
        if kind == "pixels":
            return lambda part: expit(part.pixels[:, :1].T)
        columns = slice(1, 1 + seeds) if self._shuffled else slice(1)
        return lambda part: expit(part.readings[self._network].maxima["conv1"][:, columns].T)

    def trained(self, job):
        return TrainedAuditor(None, {}, (1,), SHA256), self.scorer(job)


def _population(name, offset, first):
    """Two images a person; what the audited network reads of them is moved by `offset`."""
    rng, parts = np.random.default_rng(len(name)), {}
    for part, n in PARTS[name].items():
        readings = {}
        for network in ("audited", *NETWORKS):
            x = rng.standard_normal((n, 4)).astype(np.float32)
            x[:, 0] += offset * (network == "audited")
            readings[network] = Readings({"conv1": x})
        pixels = rng.standard_normal((n, 1)).astype(np.float32)
        parts[part] = Part(first + np.arange(n) // 2, readings, pixels)
        first += n
    return parts


def _keys(name, part):
    return [f"{name}/{part}/secret{row}.jpg" for row in range(PARTS[name][part])]


def make(folder, offset=3.0, matched=True):
    """The document of a bundle for `folder`/evidence; its auditor and manifest lie in `folder`."""
    sides = {
        "members": _population("members", offset, 0),
        "non_members": _population("non_members", 0.0, 1 << 32),
        "unused": _population("unused", offset / 2, 2 << 32),
    }
    question = examination.Question(
        sides["members"],
        sides["non_members"],
        Plan(("conv1",), SHA256, (60,), seed=SEED),
        {"vanilla/conv1": 0.9},
        matched=matched,
        networks={"random_network": NETWORKS},
        shuffles=3,
        unused=sides["unused"],
    )
    with mock.patch.object(examination, "Protocol", _Untrained):
        found = examination.Examination(question)
    manifest, auditor = folder / "manifest.json", folder / "auditors" / "vanilla"
    titles = {"non_members": "non_members" if matched else "externals"}
    rows = {
        titles.get(name, name): {
            part: {"rows": [[0, i, key, None] for i, key in enumerate(_keys(name, part))]}
            for part in read
        }
        for name, read in sides.items()
    }
    manifest.write_text(json.dumps({"format": 2, "sides": rows}))
    auditor.mkdir(parents=True)
    (auditor / "auditor.json").write_text(json.dumps({"audited_sha256": SHA256}))
    (auditor / "arrays").write_bytes(b"weights")
    origin = bundle.about(
        folder / "evidence",
        audited={"name": "a network", "sha256": SHA256, "layers": []},
        auditor=auditor,
        manifest=manifest,
        configuration={"sizes": (60,)},
        seeds={"audit": SEED},
        versions=VERSIONS,
    )
    observed = {
        name: {part: bundle.Observed(_keys(name, part), *row) for part, row in read.items()}
        for name, read in found.observed().items()
    }
    calls = {
        name: scores.called(examination.TARGET)
        for name, scores in found.scores.items()
        if name != "chosen"
    }
    salt = bundle.salt_of(manifest)
    return bundle.audit(found.block, observed, calls, origin, matched=matched, salt=salt)
