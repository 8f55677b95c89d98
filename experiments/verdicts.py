"""Verdicts about images, about people, and about one photo among its siblings.

A verdict is worth no more than its audit: where that could not determine membership there is none,
though scores and p-values stay readable; and where a photo is unlike those that the audit was
calibrated on, nothing is said at all (`mint_jax.evidence.support`).
"""

import dataclasses
import json
import secrets
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data_pipelines import duplicates, loader
from data_pipelines.sources import Placed
from experiments import supporting, versions
from mint_jax.aad import Extractor
from mint_jax.audited import AuditedModel
from mint_jax.auditors import TrainedAuditor
from mint_jax.errors import InputError
from mint_jax.evidence import bundle, conformal, likelihood, operating, persons
from mint_jax.evidence.conformal import H0_IMAGE, H0_PERSON, Test
from mint_jax.report import bundle as bundle_page

_BUNDLES = 100  # images that get one: each holds all calibration scores
_NO_GATE = "The audit did not fix which photos its verdicts hold for: nothing of them was measured."
_CUT_OUT = "the face was cut out of a photo, but verdicts are calibrated on faces that came aligned"


class Judge:
    """What verdicts are given by.

    Attributes:
      folder: of the exported auditor.
      auditor: the one that decides in an audit.
      alpha: level of each test.
      preparation: how the audit's photos were prepared, for `open_source`.
      withheld: the headline of an audit that could not determine membership; None of others.
      photos: {population: (scores, identities)} of non-members, for H0-person.
      sides: {"members" or "non_members": (scores, identities)}, for likelihood ratios.
      people, images: what `conformal.image_evidence` ranks among, one photo a person.
      ratio: of likelihoods; None where no members or no non-members are in support.
    """

    def __init__(self, folder: Path, auditor: TrainedAuditor, alpha: float):
        """Draws one calibration photo of each person.

        Raises:
          InputError: an auditor that no audit stands behind, or that `supporting.Gauge` refuses.
        """
        if not {"evidence", "support", "preparation"} <= auditor.meta.keys():
            raise InputError(
                f"{folder}: no audit stands behind this auditor; the one that decides in an audit "
                "is its auditors/PROTOCOL/chosen"
            )
        self.folder, self.auditor, self.alpha = folder, auditor, alpha
        evidence = auditor.meta["evidence"]
        self.withheld = None if evidence["gate"]["passed"] else evidence["headline"]
        self.preparation = dict(auditor.meta["preparation"])
        self._gauge = supporting.Gauge.load(folder, auditor)
        self.photos = self._calibration("person_")
        self.people = {name: one_each(*found) for name, found in self.photos.items()}
        self.images = {k: one_each(*found) for k, found in self._calibration("image_").items()}
        sides = self._calibration("")
        self.sides = {k: sides[k] for k in ("members", "non_members") if k in sides}
        pair = [one_each(*found) for found in self.sides.values()]
        self.ratio = likelihood.fit(*pair) if len(pair) == 2 else None

    def outside(self, images: np.ndarray, places: np.ndarray) -> list[str | None]:
        """Why photos are outside of support; None for those inside.

        A gate that knows no landmarks is of an audit whose photos came aligned, which a face that
        was cut out here did not: nothing tells that it was cut out alike.

        Args:
          images: uint8 (n, 112, 112, 3) RGB faces.
          places: (n, 2) how they lay in their photos, as `data_pipelines.sources.placements` says.
        """
        if self._gauge is None:
            return [_NO_GATE] * len(images)
        reasons = self._gauge.inside(images, places)[1]
        if "residual" in self._gauge.gate.ranges:
            return reasons
        cut_out = np.isfinite(places).all(axis=1)
        return [
            "; ".join(filter(None, (cut and _CUT_OUT, reason))) or None
            for cut, reason in zip(cut_out.tolist(), reasons)
        ]

    def ranked(self, hypothesis: str, p: float, population: str, n: int) -> Test:
        """A test by a rank among `n` cases of a population."""
        least = conformal.resolution(n)
        found = {"p": p, "population": population, "n": n, "resolution": least}
        if least > self.alpha:
            reason = f"So few cases cannot reject at {self.alpha:g}: {least:.2g} is the least."
            return Test(hypothesis, "no verdict", reason, **found)
        return Test(hypothesis, "rejected" if p <= self.alpha else "not rejected", **found)

    def given(self, test: Test) -> dict[str, Any]:
        """A test as JSON; its verdict is withheld where the audit cannot give one."""
        if self.withheld:
            test = dataclasses.replace(test, verdict="no verdict", reason=self.withheld)
        return test.to_json()

    def _calibration(self, kind: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """{name: (scores, identities)} of the calibration scores "KINDname"."""
        known = self.auditor.calibration
        names = sorted(key.removeprefix(kind) for key in known if key.startswith(kind))
        people = [f"people_{name}" for name in names]
        return {n: (known[kind + n], known[p]) for n, p in zip(names, people) if p in known}


@dataclass(frozen=True)
class Seen:
    """What was read of the images of a source.

    Attributes:
      keys, sha256: n names, and hashes of the files, None where there is no file to read.
      identities: (n,) int64.
      scores: (n,) membership probabilities; NaN where an image cannot be read.
      prints: (n, 4) uint64 of `duplicates.fingerprints`.
      errors: {row: why it cannot be read}.
      outside: {row: why it is outside of support}.
    """

    keys: tuple[str, ...]
    sha256: list[str | None]
    identities: np.ndarray
    scores: np.ndarray
    prints: np.ndarray
    errors: Mapping[int, str]
    outside: Mapping[int, str]

    def copies(self, rows: np.ndarray) -> np.ndarray:
        """The place in `rows` (m,) of the first copy of each image, near-duplicates among them."""
        return duplicates.groups(len(rows), duplicates.pairs(self.prints[rows]))


def prepare(workdir: str | Path) -> Path:
    """The path of the verdicts in `workdir`, a folder that is made where it is not there.

    Raises:
      InputError: verdicts are there already, or the folder cannot be made.
    """
    output = Path(workdir) / "verdicts.jsonl"
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{workdir}: {error.strerror}") from None
    if output.exists():
        raise InputError(f"{output}: is there already, and verdicts are not overwritten")
    return output


def read(judge: Judge, extractor: Extractor, source: Any, workers: int = 0) -> Seen:
    """Scores each image of a source, and holds it against the gate.

    Args:
      judge: whose auditor scores.
      extractor: of the layers and reduction that the auditor reads, of its audited model.
      source: random-access source with `keys`, `identities` and `sha256(row)`.
      workers: Grain worker processes that decode.
    """
    n, extractor = len(source), extractor.suited(len(source))
    scores, prints = np.full(n, np.nan), np.zeros((n, 4), np.uint64)
    errors, outside = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        placed = Placed(source, Path(folder) / "places.npy")
        batches = loader.batches(placed, extractor.chunk, workers=workers, keep_bad=True)
        for batch in tqdm(batches, "reading", len(batches), unit="batch"):
            errors |= {int(row): why for row, why in zip(batch["index"], batch["error"]) if why}
            good = batch["_mask"]
            rows, images = batch["index"][good], batch["image"][good]
            if len(rows):
                scores[rows] = judge.auditor.score(extractor(batch["image"]))[good]
                prints[rows] = duplicates.fingerprints(images)
                reasons = judge.outside(images, placed.placements(rows))
                outside |= {int(row): why for row, why in zip(rows, reasons) if why}
    hashes = [source.sha256(row) for row in range(n)]
    return Seen(source.keys, hashes, source.identities, scores, prints, errors, outside)


def by_image(judge: Judge, seen: Seen, model: AuditedModel, workdir: Path) -> Iterator[dict]:
    """A line for each image, and an evidence bundle of each of the first ones that can be read.

    The salts in the lines are for who gave the images: a bundle alone does not tell which it is of.
    """
    origin = _origin(judge, model, workdir)
    readable = np.flatnonzero(~np.isnan(seen.scores))
    number = {row: i for i, row in enumerate(readable[:_BUNDLES].tolist())}
    for row, key in enumerate(seen.keys):
        line = {"image": key, "sha256": seen.sha256[row], **_image(judge, seen, row)}
        line |= {"bundle": None, "salt": None}
        if row in number:
            salt = secrets.token_bytes(16)
            document = bundle.verdict(
                seen.scores[row],
                judge.people,
                judge.images,
                judge.alpha,
                judge.withheld or seen.outside.get(row),
                origin,
                image=seen.sha256[row],
                salt=salt,
            )
            path = bundle_page.write(_bundle_folder(workdir, number[row]), document)
            line |= {"bundle": path.relative_to(workdir).as_posix(), "salt": salt.hex()}
        yield line


def _image(judge: Judge, seen: Seen, row: int) -> dict[str, Any]:
    """The score of an image, both tests and its likelihood ratio."""
    score, error, outside = seen.scores[row], seen.errors.get(row), seen.outside.get(row)
    tests = conformal.image_evidence(
        score, judge.people, judge.images, judge.alpha, error or outside
    )
    ratio = None if error or outside else judge.ratio
    return {
        "score": None if error else float(score),
        "support": None if error else outside or "inside",
        **{name: judge.given(test) for name, test in tests.items()},
        "log10_lr": ratio and float(ratio.log10([score])[0]),
        "log10_lr_bounds": ratio and list(ratio.bounds),
        "error": error,
    }


def by_person(judge: Judge, seen: Seen) -> Iterator[dict]:
    """A line for each person, whose photos are one case; copies of a photo count as one photo."""
    image = Test(H0_IMAGE, "not tested", "It is asked about one image, not about a person.")
    for person in np.unique(seen.identities):
        rows = np.flatnonzero(seen.identities == person)
        reasons = {row: seen.errors.get(row) or seen.outside.get(row) for row in rows.tolist()}
        rows = np.array([row for row, reason in reasons.items() if not reason], int)
        scores = persons.pool_duplicates(seen.scores[rows], seen.copies(rows))
        test = _rank_person(judge, scores)
        yield {
            "person": int(person),
            "images": [seen.keys[row] for row in rows],
            "sha256": [seen.sha256[row] for row in rows],
            "left_out": {seen.keys[row]: reason for row, reason in reasons.items() if reason},
            "photos": len(scores),
            "score": persons.person_score(scores) if len(scores) else None,
            "h0_person": judge.given(test),
            "h0_image": judge.given(image),
            "e_value": None if test.p is None else float(persons.e_value(test.p)),
        }


def _rank_person(judge: Judge, scores: np.ndarray) -> Test:
    """The test of the population in which the person's k photos have the largest p-value."""
    if not len(scores):
        return Test(H0_PERSON, "no verdict", "None of the photos can be read and is in support.")
    if not judge.photos:
        return Test(H0_PERSON, "no verdict", "No people are known that it could be ranked among.")
    found = {name: persons.rank_person(scores, *own) for name, own in judge.photos.items()}
    name = max(found, key=lambda name: (found[name].p, found[name].resolution))
    return judge.ranked(H0_PERSON, found[name].p, name, found[name].people)


def by_siblings(judge: Judge, seen: Seen, published: str) -> dict[str, Any]:
    """The line of one photo, ranked among all others of the source.

    No calibration photo comes in, and so no gate either. Of each group of near-duplicates the first
    one counts: a sibling that is there twice would be ranked twice.

    Raises:
      InputError: the published photo cannot be read.
    """
    row = seen.keys.index(published)
    if row in seen.errors:
        raise InputError(seen.errors[row])
    others = [i for i in range(len(seen.keys)) if i != row and i not in seen.errors]
    rows = np.array([row, *others])
    first = seen.copies(rows)
    kept = rows[1:][first[1:] == np.arange(1, len(rows))]
    copies = {
        seen.keys[i]: f"repeats {seen.keys[rows[j]]}" for i, j in zip(rows, first) if rows[j] != i
    }
    p = persons.sibling_rank(seen.scores[row], seen.scores[kept])
    reason = "Siblings show one person: if the image was used, an image of this person was."
    return {
        "image": published,
        "sha256": seen.sha256[row],
        "siblings": [seen.keys[i] for i in kept],
        "siblings_sha256": [seen.sha256[i] for i in kept],
        "left_out": copies | {seen.keys[i]: why for i, why in seen.errors.items()},
        "score": float(seen.scores[row]),
        "h0_person": judge.given(Test(H0_PERSON, "not tested", reason)),
        "h0_image": judge.given(judge.ranked(H0_IMAGE, p, "siblings", len(kept))),
    }


def write(output: Path, lines: Iterable[Mapping[str, Any]]) -> str:
    """Writes lines, and says how many there are of which verdict."""
    counts = {"h0_person": Counter(), "h0_image": Counter()}
    partly = output.with_suffix(".partly")
    with partly.open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(json.dumps(line, allow_nan=False) + "\n")
            for name, counter in counts.items():
                counter[line[name]["verdict"]] += 1
    partly.rename(output)
    words = {k: ", ".join(f"{n} {v}" for v, n in sorted(c.items())) for k, c in counts.items()}
    return f"person: {words['h0_person']}; image: {words['h0_image']}"


def _bundle_folder(workdir: Path, number: int) -> Path:
    return workdir / "bundles" / str(number)


def _origin(judge: Judge, model: AuditedModel, workdir: Path) -> dict[str, Any]:
    """`bundle.about` of every bundle, whose folders lie side by side."""
    manifest = judge.folder.absolute().parent.parent.parent / "manifest.json"
    keys = ("evidence", "support")
    return bundle.about(
        _bundle_folder(workdir, 0),
        audited={"name": model.name, "sha256": model.sha256},
        auditor=judge.folder,
        manifest=manifest if manifest.is_file() else None,
        configuration={key: judge.auditor.meta[key] for key in keys},
        seeds={"one photo a person": 0},
        versions=versions.describe(),
    )


def one_each(scores: np.ndarray, identities: np.ndarray) -> np.ndarray:
    """The scores (p,) of one photo of each person, out of (n,) scores."""
    return scores[operating.one_each(identities)]
