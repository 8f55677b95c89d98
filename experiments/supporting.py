"""The in-support gate of an audit: fixed on its threshold part, and kept with its verdicts.

The auditor that decides in a protocol carries the gate, and of its calibration photos those that
the gate keeps, as it will keep the photos of verdicts. See `mint_jax.evidence.support`.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from data_pipelines import loader, perturbations
from data_pipelines.alignment import Placement
from data_pipelines.sources import Subset, origins, placements
from mint_jax import aad, audited, auditors
from mint_jax.audited import AuditedModel
from mint_jax.errors import InputError
from mint_jax.evidence import operating, support
from mint_jax.evidence.population import OUTCOME, Part, Population

BANK = "support_bank"  # among the arrays of an exported auditor, as are these of the components
MEAN, BASIS = "support_mean", "support_basis"
NETWORK = "other_network"  # among the readings of an audit
_CHANGED = 300  # people, at most, whose changed photos are looked at
_BATCH = 32
_WORDS = {
    "members": "photos that were used",
    "unused": "photos of members that were not used",
    "non_members": "photos of people who were held out",
    "externals": "photos of other databases",
}


class Gauge:
    """Measures photos, and says which of them a gate keeps: those of audits and of verdicts alike.

    Attributes:
      gate: which features it looks at.
    """

    def __init__(
        self,
        gate: support.Gate,
        network: AuditedModel | None = None,
        bank: np.ndarray | None = None,
        components: support.Components | None = None,
    ):
        """Takes what tells how like known faces a face is.

        Args:
          gate: which features it looks at.
          network: that is not audited, and reads the density.
          bank: (m, D) what it read of strangers.
          components: of strangers, of which the reconstruction is made.
        """
        self.gate, self._bank, self._components = gate, bank, components
        self._read = network and aad.make_extractor(network, (OUTCOME,), per_device_batch=_BATCH)

    @classmethod
    def load(cls, folder: Path, auditor: auditors.TrainedAuditor) -> "Gauge | None":
        """That of an exported auditor; None where its audit fixed no gate.

        Raises:
          InputError: its network is not there, or is another one by now.
        """
        found = auditor.meta["support"]
        if found is None:
            return None
        gate, known = support.Gate.from_json(found), auditor.calibration
        components = support.Components(known[MEAN], known[BASIS]) if MEAN in known else None
        if "density" not in gate.ranges:
            return cls(gate, components=components)
        about = found["network"]
        try:
            network = audited.load(about["spec"])
        except InputError as error:
            raise InputError(f"{folder}: its gate needs another network; {error}") from None
        if network.sha256 != about["sha256"]:
            raise InputError(
                f"{folder}: its gate was fixed by the network {about['sha256'][:12]}, and "
                f"{about['spec']} is {network.sha256[:12]}"
            )
        return cls(gate, network, known[BANK], components)

    def inside(self, images: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, list[str | None]]:
        """Which photos are in support, and why the others are not, as `support.Gate.inside`.

        Args:
          images: uint8 (n, 112, 112, 3) RGB faces.
          places: (n, 2) how they lay in their photos, as `data_pipelines.sources.placements` says.
        """
        found = _placed(places) | support.from_pixels(images)
        if self._components:
            drawn = self._components.reconstruction(support.thumbnails(images))
            found["reconstruction"] = drawn
        if self._read:
            embeddings = self._read.suited(len(images))(images)[OUTCOME]
            found["density"] = support.density(embeddings, self._bank)
        return self.gate.inside({name: found[name] for name in self.gate.ranges})


class AuditGate:
    """The gate of a protocol.

    Attributes:
      gauge: None where nothing of the photos was measured.
    """

    def __init__(
        self,
        others: str,
        populations: Mapping[str, Population],
        parts: Mapping[str, Mapping[str, Any]],
        config: ConfigDict,
    ):
        """Fixes the gate on all features that are known of every photo of the threshold part.

        Args:
          others: name of the population of the protocol's non-members.
          populations: {population: {part: Part}} of the audit.
          parts: {population: {part: source}} of the same photos.
          config: of the audit.
        """
        self._others, self._populations, self._parts = others, populations, parts
        strangers = _strangers(populations, others)
        self._bank = _embedded(strangers) if config.other_network and strangers else None
        self._components = _components(strangers)
        self._spec, self._changes = config.other_network, config.robustness
        self._preparation = {"align": config.align, "antialias": config.antialias}
        self._preparation |= {key: config[key] or None for key in ("detector", "quality")}
        self._network = None if self._bank is None else audited.load(config.other_network)
        reference = self._features(others, "threshold")
        known = {name: x for name, x in reference.items() if np.isfinite(x).all()}
        gate = support.Gate.fit(known) if known else None
        self.gauge = gate and Gauge(gate, self._network, self._bank, self._components)

    def export(
        self, auditor: auditors.TrainedAuditor, sides: Mapping[str, str]
    ) -> auditors.TrainedAuditor:
        """The auditor with the gate, and with the calibration photos that it keeps.

        `meta["support"]` is None where there is no gate; `meta["preparation"]` says how the photos
        of the audit were aligned and encoded, as those of verdicts must be.

        Args:
          auditor: that decides in the protocol.
          sides: {name among its calibration scores: population}.
        """
        people = self._populations[sides["members"]]["calibration"].identities
        found = {**auditor.calibration, "people_members": people}
        meta = {**auditor.meta, "support": None, "preparation": self._preparation}
        if self.gauge is None:
            return dataclasses.replace(auditor, calibration=found, meta=meta)
        for name, side in sides.items():
            kept = self._inside(side, "calibration")
            own = {name, f"person_{name}", f"image_{name}", f"people_{name}"} & found.keys()
            found |= {key: found[key][kept] for key in own}
        found = {key: values for key, values in found.items() if len(values)}
        fixed = self.gauge.gate.to_json()
        if self._network:
            found[BANK] = self._bank
            fixed["network"] = {"spec": self._spec, "sha256": self._network.sha256}
        if self._components:
            found |= {MEAN: self._components.mean, BASIS: self._components.basis}
        meta["support"] = fixed
        return dataclasses.replace(auditor, calibration=found, meta=meta)

    def shares(self, seed: int) -> list[dict]:
        """How much of what the gate keeps, one photo a person.

        Changed photos are the non-members' of the test part; how a face lay in its photo is that of
        the photo before the change.

        Args:
          seed: of the draws.

        Returns:
          [{"photos": words, "n", "share", "share_ci95"}]; empty where there is no gate.
        """
        if self.gauge is None:
            return []
        found = []
        for words, side, rows in self._tested():
            rows = rows[operating.one_each(self._populations[side]["test"].identities[rows], seed)]
            found.append(_share(words, self._inside(side, "test")[rows]))
        return found + list(self._changed(seed))

    def _tested(self) -> Iterator[tuple[str, str, np.ndarray]]:
        """Yields (words, population, rows) of all test photos, database by database."""
        for side in filter(self._parts.get, _WORDS):
            source = self._parts[side]["test"]
            rows = np.arange(len(source))
            if side != "externals":
                yield _WORDS[side], side, rows
                continue
            by_name = {}
            for base, _, places in origins(source, rows):
                by_name.setdefault(base.database, []).append(places)
            for name, places in by_name.items():
                yield f"photos of the database {name}", side, np.sort(np.concatenate(places))

    def _changed(self, seed: int) -> Iterator[dict]:
        if not self._changes:
            return
        each = operating.one_each(self._populations[self._others]["test"].identities, seed)
        rows = np.random.default_rng(seed).permutation(each)[:_CHANGED]
        photos = Subset(self._parts[self._others]["test"], rows)
        places, kept = placements(photos, np.arange(len(photos))), {}
        for batch in loader.batches(photos, _BATCH):
            rows, images = batch["index"][batch["_mask"]], batch["image"][batch["_mask"]]
            for change in perturbations.CHANGES.values():
                inside, _ = self.gauge.inside(change.apply(images), places[rows])
                kept.setdefault(change.words, []).append(inside)
        for words, inside in kept.items():
            yield _share(f"{_WORDS[self._others]}, {words}", np.concatenate(inside))

    def _inside(self, side: str, part: str) -> np.ndarray:
        """Which photos (n,) of a part are in support."""
        found, gate = self._features(side, part), self.gauge.gate
        return gate.inside({name: found[name] for name in gate.ranges})[0]

    def _features(self, side: str, name: str) -> dict[str, np.ndarray]:
        """All features (n,) that are measured of a part."""
        part, source = self._populations[side][name], self._parts[side][name]
        found = _placed(placements(source, np.arange(len(source))))
        if part.pixels.size:
            found |= support.from_features(part.pixels)
        if self._bank is not None:
            found["density"] = support.density(_outcome(part), self._bank)
        if self._components:
            found["reconstruction"] = self._components.reconstruction(part.thumbnails)
        return found


def _strangers(populations: Mapping[str, Population], others: str) -> list[Part]:
    """The bank of both sides, of people who are asked about in no other part.

    A split by image has people in several; empty where fewer photos are left than are counted.
    """
    asked = [
        part.identities
        for parts in populations.values()
        for name, part in parts.items()
        if name in ("threshold", "calibration", "test")
    ]
    asked, found = np.concatenate(asked), []
    for side in ("members", others):
        bank = populations[side]["bank"]
        own = {name: read for name, read in bank.readings.items() if name == NETWORK}
        bank = dataclasses.replace(bank, readings=own)
        found.append(bank.rows(~np.isin(bank.identities, asked)))
    return found if sum(len(part.identities) for part in found) >= support.NEIGHBOURS else []


def _embedded(strangers: Sequence[Part]) -> np.ndarray:
    """The other network's (m, D) float16 unit embeddings."""
    bank = np.concatenate([_outcome(part) for part in strangers])
    return (bank / np.linalg.norm(bank, axis=1, keepdims=True)).astype(np.float16)


def _components(strangers: Sequence[Part]) -> support.Components | None:
    """None where no thumbnails were read."""
    known = [part.thumbnails for part in strangers if part.thumbnails is not None]
    return support.Components.fit(np.concatenate(known)) if known else None


def _outcome(part: Part) -> np.ndarray:
    return part.readings[NETWORK].maxima[OUTCOME]


def _placed(places: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(Placement._fields, places.T, strict=True))


def _share(words: str, inside: np.ndarray) -> dict:
    n, kept = len(inside), int(inside.sum())
    interval = operating.clopper_pearson(kept, n)
    return {"photos": words, "n": n, "share": kept / n, "share_ci95": interval}
