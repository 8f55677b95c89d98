"""Who reads the photos of the platform: faces out of files, and findings out of faces.

`likely_used` takes a corrected p-value of .01 at most of the hypothesis that the image was not used
and a likelihood ratio of which the lower bound is 10 at least, of an audit that had matched
non-members and beat its controls. An audit that lacks one of these, or that knows too few people
for such a p-value, always answers `cannot_tell`, as every audit does of a face out of support; a
finding of that kind gives neither p-value nor likelihood ratio, which would mean nothing.

"This image was not used" is true where no image of the person was used and where only others were;
`weighing.Scale` rejects both. Several photos of one person ask whether any of their photos was.
"""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from data_pipelines import alignment, detection, duplicates, uploads
from data_pipelines.encoded import digest
from data_pipelines.preparation import Preparation
from experiments.verdicts import Judge, one_each
from experiments.weighing import Scale, adjusted
from mint_jax import aad, audited, auditors
from mint_jax.audited import AuditedModel
from mint_jax.demonstrator import examiner
from mint_jax.demonstrator.examiner import Controls, Face, Finding, Model, PhotoError
from mint_jax.errors import InputError
from mint_jax.evidence import conformal, operating, persons
from mint_jax.evidence.bundle.document import sha256_of

ALPHA = 0.01
LEAST_RATIO = 10.0
_MOST_PHOTOS = 10  # of one person, that are weighed together
# Of so many members the lower bound of the likelihood ratio was below the true one in 55 of 60
# simulated audits; a bootstrap of fewer people is too sure of itself.
_LEAST_MEMBERS = 100
_UNMATCHED = operating.gate(None, [], matched=False, fpr=ALPHA)["reasons"][0]

_Why = tuple[str, Mapping[str, Any]]


class _Reading(NamedTuple):
    """What an auditor makes of one face, or of several photos of one person.

    Attributes:
      score: membership probability; None where it is out of support.
      photos: different ones that it is about.
      why: there can be no verdict: (reason, details); None where there can.
    """

    score: float | None
    photos: int
    why: _Why | None


class _Weight(NamedTuple):
    """What a reading weighs.

    Attributes:
      p: its p-value.
      ratio: its likelihood ratio: lower bound, estimate, upper bound.
      power: share of members whom a verdict on as many photos accuses.
    """

    p: float
    ratio: Sequence[float]
    power: float


class Audit:
    """An audited model with the auditor that decided in its audit.

    Attributes:
      model: as its card shows it.
      judge: what its verdicts are given by.
      why: it never gives a verdict: (reason, details); None where it may.
    """

    def __init__(self, network: AuditedModel, judge: Judge, name: str, batch: int):
        """Compiles nothing yet. `name` tells the model from others on a page."""
        self.judge, self.model = judge, _card(network, judge, name)
        self._auditor = judge.auditor
        layers, reduce = self._auditor.layers, self._auditor.reduce
        self._extract = aad.make_extractor(network, layers, reduce, per_device_batch=batch)
        self.why = None
        if not self.model.matched:
            self.why = "no_matched_non_members", {}
        elif judge.withheld:
            self.why = "audit_cannot_tell", {"headline": judge.withheld}
        elif self._auditor.meta["support"] is None:
            self.why = "no_gate", {}

    def prepare(self, models: int) -> None:
        """Compiles, and finds out what can be weighed where that many models may be accused."""
        for count in (1, self._extract.chunk):  # few faces have a program of their own
            blank = np.zeros((count, alignment.SIZE, alignment.SIZE, 3), np.uint8)
            self.judge.outside(blank, np.float32([alignment.UNPLACED] * count))
            self._scores(blank)
        self._needed = conformal.conditional_needed(ALPHA / models)
        self._scales = {} if self.why else dict(self._weighable())
        self._power = {
            photos: scale.power(ALPHA / models, LEAST_RATIO)
            for photos, scale in self._scales.items()
        }

    def read(self, faces: Sequence[Face]) -> list[_Reading]:
        """A reading of each face."""
        found = []
        for score, outside in zip(*self._measure(faces)):
            why = ("out_of_support", {"why": outside}) if outside else self._cannot(1)
            found.append(_Reading(None if outside else float(score), 1, why))
        return found

    def read_person(self, faces: Sequence[Face], prints: np.ndarray) -> _Reading:
        """The reading of the photos of one person, of which copies are one.

        Args:
          faces: of the photos.
          prints: (n, 4) uint64 of `duplicates.fingerprints`.
        """
        scores, outside = self._measure(faces)
        rows = np.flatnonzero([reason is None for reason in outside])
        if not len(rows):
            return _Reading(None, 0, ("out_of_support", {"why": outside[0]}))
        copies = duplicates.groups(len(rows), duplicates.pairs(prints[rows]))
        pooled = persons.pool_duplicates(scores[rows], copies)
        score = float(expit(persons.person_score(pooled)))
        return _Reading(score, len(pooled), self._cannot(len(pooled)))

    def weigh(self, reading: _Reading) -> _Weight:
        """What a reading weighs as evidence."""
        scale, score = self._scales[reading.photos], np.array([reading.score])
        p, ratio = float(scale.p_values(score)[0]), scale.ratios(score)[0].tolist()
        return _Weight(p, ratio, self._power[reading.photos])

    def _cannot(self, photos: int) -> _Why | None:
        if self.why or photos in self._scales:
            return self.why
        return "too_few_people", {"needed": self._needed, "photos": photos}

    def _measure(self, faces: Sequence[Face]) -> tuple[np.ndarray, list[str | None]]:
        """Scores (n,), NaN where a face is out of support, and why it is."""
        images = np.stack([face.image for face in faces])
        places = np.float32([face.placement for face in faces])
        outside = self.judge.outside(images, places)
        scores, rows = np.full(len(faces), np.nan), [i for i, why in enumerate(outside) if not why]
        if rows:
            scores[rows] = self._scores(images[rows])
        return scores, outside

    def _scores(self, images: np.ndarray) -> np.ndarray:
        return self._auditor.score(self._extract.suited(len(images))(images))

    def _weighable(self) -> Iterator[tuple[int, Scale]]:
        """Yields (photos, scale) of one image, and of as many photos as enough people have."""
        judge = self.judge
        if len(judge.sides) < 2:
            return
        members, others = judge.sides["members"], judge.sides["non_members"]
        nulls = [*judge.people.values(), *judge.images.values()]
        used = one_each(*members)
        if judge.images and self._enough(nulls, used):
            yield 1, Scale(nulls, used, [one_each(*others), *judge.images.values()])
        for photos in range(2, _MOST_PHOTOS + 1):
            nulls = [_together(*own, photos) for own in judge.photos.values()]
            used = _together(*members, photos)
            if not self._enough(nulls, used):
                return
            yield photos, Scale(nulls, used, [_together(*others, photos)])

    def _enough(self, nulls: Sequence[np.ndarray], used: np.ndarray) -> bool:
        """Whether so many people can give a p-value that accuses, and a likelihood ratio."""
        return min(map(len, nulls), default=0) >= self._needed and len(used) >= _LEAST_MEMBERS


class Examiner:
    """Reads photos for the pages, as `mint_jax.demonstrator.examiner.Examiner` says.

    Attributes:
      models: as their cards show them.
    """

    def __init__(self, audits: Sequence[Audit], preparation: Preparation):
        """Compiles everything: nothing is left for the first visitor to wait for.

        Args:
          audits: of models of different names.
          preparation: of the photos of all of them.
        """
        self._audits, self._preparation = audits, preparation
        self._detect = detection.Lazy(preparation.detector)
        self.models = tuple(audit.model for audit in audits)
        able = sum(audit.why is None for audit in audits)
        for audit in audits:
            audit.prepare(max(1, able))

    def find(self, data: bytes) -> list[Face]:
        """Faces of an uploaded file, the largest first; threads may call it side by side.

        Raises:
          PhotoError: of the codes of `data_pipelines.uploads.UploadError`.
        """
        try:
            found = uploads.faces(data, self._preparation, self._detect)
        except uploads.UploadError as error:
            raise PhotoError(error.code, **error.details) from None
        return [Face(face.box, face.image, tuple(face.placement)) for face in found]

    def judge(self, faces: Sequence[Face]) -> list[list[Finding]]:
        """For each face the findings of all models, in their order."""
        columns = [audit.read(faces) for audit in self._audits]
        return [self._findings(readings) for readings in zip(*columns)]

    def combine(self, faces: Sequence[Face]) -> list[Finding]:
        """Findings of all models about several photos of one person; copies count once."""
        prints = duplicates.fingerprints(np.stack([face.image for face in faces]))
        return self._findings([audit.read_person(faces, prints) for audit in self._audits])

    def _findings(self, readings: Sequence[_Reading]) -> list[Finding]:
        """A finding of each model, their p-values corrected over those that may accuse."""
        weighed = {
            audit.model.name: audit.weigh(reading)
            for audit, reading in zip(self._audits, readings)
            if reading.why is None
        }
        corrected = adjusted({name: weight.p for name, weight in weighed.items()})
        found = []
        for model, reading in zip(self.models, readings):
            if reading.why:
                said = examiner.CANNOT_TELL, *reading.why
                found.append(Finding(model.name, *said, score=reading.score))
            else:
                weight = weighed[model.name]._replace(p=corrected[model.name])
                found.append(_verdict(model.name, reading, weight))
        return found


def _verdict(name: str, reading: _Reading, weight: _Weight) -> Finding:
    low, ratio, high = weight.ratio
    if weight.p > ALPHA:
        verdict, reason = examiner.NO_EVIDENCE, "weak_p"
    elif low < LEAST_RATIO:
        verdict, reason = examiner.NO_EVIDENCE, "weak_ratio"
    else:
        verdict, reason = examiner.LIKELY_USED, "strong"
    details = {"photos": reading.photos, "found": weight.power}
    return Finding(name, verdict, reason, details, reading.score, weight.p, ratio, (low, high))


def _together(scores: np.ndarray, identities: np.ndarray, photos: int) -> np.ndarray:
    """Scores (p,), as probabilities, of people of whom so many photos are drawn."""
    drawn = persons.draw_scores(scores, identities, photos)
    return expit(np.array(list(drawn.values()), float))


def _card(network: AuditedModel, judge: Judge, name: str) -> Model:
    evidence, scores = judge.auditor.meta["evidence"], judge.auditor.calibration
    target = evidence["target_fpr"]
    point = evidence["operating_points"][f"{target:g}"]
    empty = np.zeros(0, np.float32)
    return Model(
        name=name,
        sha256=network.sha256,
        auditor=_hash(judge.folder),
        layers=network.layers,
        training=str(network.info.get("training_database", "not known")),
        matched=_UNMATCHED not in evidence["gate"]["reasons"],
        found=point and point["tpr"],
        fpr=target,
        headline=evidence["headline"],
        controls=_controls(evidence["gate"]),
        members=np.sort(scores.get("members", empty)),
        non_members=np.sort(scores.get("non_members", empty)),
    )


def _hash(folder: Path) -> str:
    """SHA-256 of the JSON list [{name: SHA-256}] of all files of an exported auditor."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest({f.relative_to(folder).as_posix(): sha256_of(f) for f in files})


def _controls(gate: Mapping[str, Any]) -> Controls:
    least = gate["smallest_advantage"]
    points = None if least is None else math.floor(round(1000 * least, 6)) / 10  # a bound stays one
    return Controls(points, gate["against"], tuple(gate["reasons"]))


def open_examiner(
    specs: Sequence[str], folders: Sequence[str], detector: str | None = None, batch: int = 8
) -> Examiner:
    """The examiner of audited models and of the auditors that their audits exported.

    Args:
      specs: of the audited models, as `mint_jax.audited.load` takes them.
      folders: `AUDIT/auditors/PROTOCOL/chosen`, one for each of them, in any order.
      detector: an .onnx file in place of the audits' own.
      batch: faces in a step of one device, where there are many.

    Raises:
      InputError: models and auditors that do not belong together one by one, audits that prepared
        their photos differently, or what is raised where they are loaded.
    """
    networks = {network.sha256: network for network in map(audited.load, specs)}
    judges: dict[str, Judge] = {}
    for folder in folders:
        auditor = auditors.load(folder)
        network = networks.get(auditor.audited_sha256)
        if network is None:
            raise InputError(
                f"{folder}: its audited model, {auditor.audited_sha256[:12]}, is none of "
                f"{', '.join(specs)}"
            )
        if network.sha256 in judges:
            raise InputError(f"{folder}: a second auditor of {network.name}; give one")
        judges[network.sha256] = Judge(Path(folder), auditor, ALPHA)
    for network in networks.values():
        if network.sha256 not in judges:
            raise InputError(f"{network.name}: no auditor of it was given")
    preparation = functools.reduce(_alike, judges.values()).preparation
    named = [network.name for network in networks.values()]
    audits = [
        Audit(network, judges[sha256], _named(network, named), batch)
        for sha256, network in networks.items()
    ]
    given = {"detector": detector} if detector else {}
    return Examiner(audits, Preparation(**preparation | given))


def _alike(first: Judge, other: Judge) -> Judge:
    if first.preparation != other.preparation:
        raise InputError(
            f"{other.folder}: its audit prepared photos otherwise than that of {first.folder}; "
            "serve them apart"
        )
    return first


def _named(network: AuditedModel, names: Sequence[str]) -> str:
    """A name that no other model has."""
    if names.count(network.name) == 1:
        return network.name
    return f"{network.name} ({network.sha256[:8]})"
