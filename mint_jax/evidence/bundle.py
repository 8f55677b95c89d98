"""The evidence bundle: what an audit or a verdict claims, with the scores that it follows from.

Whoever has the file can compute every claim again (`verify`), without images, network or GPU. It
holds no image and no name: people are numbers that mean nothing outside of the bundle, and keys of
images are HMAC-SHA-256 under a salt (RFC 2104) that only who has the audit set's manifest can make.
The digest shows that nothing was changed since it was noted down elsewhere; it is no signature, and
scores that were made up together with their claims cannot be told by the file alone.

Calls of controls stand in it as counts over their replicates, not their scores, which would be
hundreds of times as many. Whether non-members are of the members' own collection does not follow
from scores either; the manifest shows it.
"""

import functools
import hashlib
import hmac
import json
import math
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import mint_jax
from mint_jax.errors import InputError
from mint_jax.evidence import conformal, likelihood, operating, persons
from mint_jax.evidence import lint as rules

FILE = "bundle.json"
_SCHEMA, _VERSION = "mint-jax evidence bundle", 1
_ABOUT = ("date", "audited", "auditor", "manifest", "configuration", "seeds", "libraries", "code")
_CLAIMS = {
    "audit": ("thresholds", "operating_points", "controls", "gate", "headline"),
    "verdict": ("h0_person", "h0_image"),
}
_MEASURED = ("tpr", "fpr", "advantage", "advantage_lower95")  # of a control
_MAY_LACK = ("likelihood", "people", "h0_image")  # claims that an audit need not make
_CALIBRATIONS = ("people", "images")  # of a verdict
_TOLERANCE = {"likelihood": 1e-3}  # an optimiser ends elsewhere on another machine
_EXACT = 1e-6  # relative


@dataclass(frozen=True)
class Observed:
    """The images of a part and the scores of the auditor that decides.

    Attributes:
      keys: n names; only their hashes are written.
      identities: (n,) integers; numbers in their order are written.
      scores: (n,).
    """

    keys: Sequence[str]
    identities: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Check:
    """What became of one check.

    Attributes:
      name: what was checked.
      passed: None where it could not be checked here, or where a difference need not matter.
      text: a sentence.
    """

    name: str
    passed: bool | None
    text: str


def about(
    folder: str | Path,
    *,
    audited: Mapping[str, Any],
    auditor: str | Path,
    manifest: str | Path | None,
    configuration: Mapping[str, Any],
    seeds: Mapping[str, int],
    versions: Mapping[str, Any],
) -> dict[str, Any]:
    """Where evidence comes from: hashes of everything that it was made with.

    Args:
      folder: that the bundle will be written to; paths are noted relative to it.
      audited: {"name", "sha256", ...}, as in `tables.json`.
      auditor: folder of the exported auditor that decides.
      manifest: of the audit set; None where there is none.
      configuration: JSON values.
      seeds: {"audit": seed of the draws}.
      versions: {"date", "versions": {library: version}, ...}, as in `tables.json`.
    """
    return {
        "date": versions["date"],
        "audited": {key: audited[key] for key in ("name", "sha256")},
        "auditor": _hashed(folder, auditor),
        "manifest": None if manifest is None else _hashed(folder, manifest),
        "configuration": dict(configuration),
        "seeds": dict(seeds),
        "libraries": dict(versions["versions"]),
        "code": code(),
    }


def audit(
    evidence: Mapping[str, Any],
    observed: Mapping[str, Mapping[str, Observed]],
    calls: Mapping[str, tuple[np.ndarray, np.ndarray] | None],
    origin: Mapping[str, Any],
    *,
    matched: bool,
    salt: bytes,
) -> dict[str, Any]:
    """The bundle of one protocol of an audit.

    Args:
      evidence: the block `evidence` of `tables.json`.
      observed: {"members": {"calibration", "test"}, "non_members": {"threshold", "calibration",
        "test"}, "unused": {"calibration", "test"}}, the last one where it is known. The non-members
        are those of the protocol, of whichever collection.
      calls: {control: shares of its replicates that call each member (a,) and each non-member (b,)
        of the test parts, or None}, as `examination.Scores.called` gives them.
      origin: of `about`; its seed "audit" is that of the evidence.
      matched: whether the non-members are of the members' own collection.
      salt: of `salt_of`.
    """
    likely = evidence["likelihood"]
    claims = {
        name: evidence[name]
        for name in ("auditor", "target_fpr", "operating_points", "gate", "headline")
    }
    claims |= {
        "matched": matched,
        "thresholds": _thresholds(observed["non_members"]["threshold"].scores, evidence),
        "controls": [{key: c[key] for key in ("name", *_MEASURED)} for c in evidence["controls"]],
        "likelihood": likely and {k: v for k, v in likely.items() if k != "tippett"},
        "people": evidence["people"],
        "h0_image": evidence["h0_image"],
    }
    everybody = [part.identities for parts in observed.values() for part in parts.values()]
    number = functools.partial(np.searchsorted, np.unique(np.concatenate(everybody)))
    written = {
        population: {
            name: {
                "keys": [salted(salt, key) for key in part.keys],
                "identities": number(part.identities).tolist(),
                "scores": np.asarray(part.scores, float).tolist(),
            }
            for name, part in parts.items()
        }
        for population, parts in observed.items()
    }
    controls = [_called(control, calls[control["name"]]) for control in evidence["controls"]]
    return _sealed("audit", origin, {"parts": written, "controls": controls}, claims)


def verdict(
    score: float,
    people: Mapping[str, np.ndarray],
    images: Mapping[str, np.ndarray],
    alpha: float,
    unsupported: str | None,
    origin: Mapping[str, Any],
    *,
    image: str,
    salt: bytes,
) -> dict[str, Any]:
    """The bundle of a verdict about one image; the first arguments are `image_evidence`'s.

    Args:
      score, people, images, alpha, unsupported: as `conformal.image_evidence` takes them.
      origin: of `about`.
      image: SHA-256 of the image's file, of which a salted hash is written.
      salt: random; whoever has it and the image can show that the verdict is about it.
    """
    data = {
        "image": salted(salt, image),
        "score": float(score),
        "people": {name: np.asarray(x, float).tolist() for name, x in people.items()},
        "images": {name: np.asarray(x, float).tolist() for name, x in images.items()},
        "alpha": alpha,
        "unsupported": unsupported,
    }
    return _sealed("verdict", origin, data, _tests(data))


def salt_of(manifest: str | Path) -> bytes:
    """The salt of an audit's keys, which is made of the whole manifest."""
    return hmac.digest(b"keys of an evidence bundle", Path(manifest).read_bytes(), "sha256")


def salted(salt: bytes, key: str) -> str:
    """The hash that stands for a key."""
    return hmac.digest(salt, key.encode(), "sha256").hex()[:32]


def code() -> dict[str, str | None]:
    """{"version", "commit", "sha256"} of this package; the hash is over all of its source files."""
    folder = Path(mint_jax.__file__).parent
    content = hashlib.sha256()
    for file in sorted(folder.rglob("*.py"), key=lambda f: f.relative_to(folder).as_posix()):
        content.update(f"{file.relative_to(folder).as_posix()} {_sha256(file)}\n".encode())
    return {
        "version": mint_jax.__version__,
        "commit": _commit(folder),
        "sha256": content.hexdigest(),
    }


def digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of everything but the digest: sorted keys, no spaces, ASCII."""
    content = {key: value for key, value in document.items() if key != "digest"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write(folder: str | Path, document: Mapping[str, Any]) -> Path:
    """Writes `bundle.json` into a folder, which is made where it is not there; returns its path."""
    path = Path(folder) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, allow_nan=False), encoding="utf-8")
    return path


def read(path: str | Path) -> dict[str, Any]:
    """The document in a file; nothing in it is checked but that it is one.

    Raises:
      InputError: no file, or not an evidence bundle of this version.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        schema = document["schema"], document["version"]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except (ValueError, LookupError, TypeError, RecursionError):
        raise InputError(f"{path}: not an evidence bundle") from None
    if schema != (_SCHEMA, _VERSION) or document.get("kind") not in _CLAIMS:
        raise InputError(f"{path}: an evidence bundle of a kind or version that is not known here")
    for key in (*_ABOUT, "data", "claims", "digest"):
        if key not in document:
            raise InputError(f"{path}: an evidence bundle without {key!r}")
    for key in ("data", "claims"):
        if not isinstance(document[key], dict):
            raise InputError(f"{path}: {key!r} is not an object")
    return document


def verify(path: str | Path, audited_sha256: str | None = None) -> list[Check]:
    """Computes everything again that a bundle claims, and hashes what is reachable from it.

    Args:
      path: of `bundle.json`.
      audited_sha256: of the audited network, where it is at hand.

    Raises:
      InputError: not an evidence bundle.
    """
    document, folder = read(path), Path(path).parent
    is_audit = document["kind"] == "audit"
    compute = _recomputed(document)
    checks = {"digest": _check_digest}
    checks |= {name: functools.partial(_check_claim, compute, name) for name in _claimed(document)}
    if is_audit:
        checks |= {"parts": _check_parts, "images": functools.partial(_check_images, folder)}
    checks |= {
        "auditor": functools.partial(_check_files, folder, "auditor"),
        "manifest": functools.partial(_check_files, folder, "manifest"),
        "audited network": functools.partial(_check_audited, folder, audited_sha256),
        "code": _check_code,
    }
    return [_checked(name, check, document) for name, check in checks.items()]


def _recomputed(document: Mapping[str, Any]) -> Callable[[str], Any]:
    """What computes a claim out of the data of a bundle."""
    if document["kind"] == "audit":
        return functools.partial(getattr, _Audit(document))
    return lambda name: _tests(document["data"])[name]


def _checked(name: str, check: Callable, document: Mapping[str, Any]) -> Check:
    try:
        return Check(name, *check(document))
    except OSError as error:
        return Check(name, None, f"{error.filename}: {error.strerror}.")
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return Check(name, False, f"It cannot be computed from what the file holds ({reason}).")


def _claimed(document: Mapping[str, Any]) -> list[str]:
    """The claims to check: all that must be there, and what else is."""
    if document["kind"] == "verdict":
        return list(_CLAIMS["verdict"])
    extra = [name for name in _MAY_LACK if document["claims"].get(name) is not None]
    return [*_CLAIMS["audit"], *extra]


def _check_digest(document: Mapping[str, Any]) -> tuple[bool, str]:
    found = digest(document)
    if found != document["digest"]:
        return False, f"The content has the SHA-256 {found}, not the one that stands in it."
    return True, f"SHA-256 {found}; compare it with the one that was noted down."


def _check_claim(compute: Callable, name: str, document: Mapping[str, Any]) -> tuple[bool, str]:
    tolerance = _TOLERANCE.get(name, _EXACT)
    difference = _difference(document["claims"][name], compute(name), name, tolerance)
    return difference is None, difference or "It follows from the scores."


def _difference(claimed: Any, found: Any, where: str, tolerance: float) -> str | None:
    """Says where two JSON values differ first; None where they are the same."""
    if isinstance(claimed, dict) and isinstance(found, dict) and claimed.keys() == found.keys():
        pairs = [(claimed[key], found[key], f"{where}, {key}") for key in found]
    elif isinstance(claimed, list) and isinstance(found, list) and len(claimed) == len(found):
        pairs = [(*pair, f"{where}, {i}") for i, pair in enumerate(zip(claimed, found), 1)]
    elif _is_number(claimed) and _is_number(found):
        same = math.isclose(claimed, found, rel_tol=tolerance, abs_tol=1e-9)
        return None if same else f"{where}: {claimed:.9g} is claimed, the scores give {found:.9g}."
    else:
        return None if claimed == found else f"{where}: the scores give {json.dumps(found)}."
    return next(filter(None, (_difference(*pair, tolerance) for pair in pairs)), None)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


class _Audit:
    """The claims of an audit, out of the scores in its bundle; its properties are their names."""

    def __init__(self, document: Mapping[str, Any]):
        self._claims, self._data = document["claims"], document["data"]
        self._seeds = document["seeds"]

    @functools.cached_property
    def thresholds(self) -> dict:
        return _thresholds(self._scores("non_members", "threshold"), self._claims)

    @functools.cached_property
    def operating_points(self) -> dict:
        sides = [self._scores(p, "test") for p in ("members", "non_members")]
        people = [self._identities(p, "test") for p in ("members", "non_members")]
        labels = np.repeat([1, 0], [len(side) for side in sides])
        frozen = self._scores("non_members", "threshold")
        return {
            fpr: operating.measure(
                labels, np.concatenate(sides), np.concatenate(people), frozen, float(fpr)
            )
            for fpr in self.thresholds
        }

    @functools.cached_property
    def controls(self) -> list[dict]:
        return [self._control(control) for control in self._data["controls"]]

    def _control(self, control: Mapping[str, Any]) -> dict:
        found = {"name": control["name"]} | dict.fromkeys(_MEASURED)
        threshold, called = self.thresholds[str(self._claims["target_fpr"])], control["called"]
        if threshold is None or called is None:
            return found
        shares = [np.array(called[p]) / control["replicates"] for p in ("members", "non_members")]
        own = self._scores("members", "test") > threshold
        if (len(shares[0]), len(shares[1])) != (len(own), len(self._scores("non_members", "test"))):
            raise ValueError(f"{control['name']} has not called as many images as there are")
        paired = operating.paired_advantage(own, shares[0], self._identities("members", "test"))
        return found | {"tpr": float(shares[0].mean()), "fpr": float(shares[1].mean())} | paired

    @functools.cached_property
    def _verdict(self) -> tuple:
        """What gate and headline are made of."""
        fpr = self._claims["target_fpr"]
        titled = [
            {"title": said["title"]} | found
            for said, found in zip(self._data["controls"], self.controls)
        ]
        return self.operating_points[str(fpr)], titled, fpr

    @functools.cached_property
    def gate(self) -> dict:
        point, controls, fpr = self._verdict
        return operating.gate(point, controls, self._claims["matched"], fpr)

    @functools.cached_property
    def headline(self) -> str:
        point, controls, fpr = self._verdict
        return operating.headline(point, controls, self.gate, fpr)

    @functools.cached_property
    def likelihood(self) -> dict:
        sides = ("members", "non_members")
        ratio = likelihood.fit(*(self._one_each(p, "calibration") for p in sides))
        found = likelihood.describe(*(self._scores(p, "test") for p in sides), ratio)
        return {name: value for name, value in found.items() if name != "tippett"}

    @functools.cached_property
    def people(self) -> dict:
        k = self._claims["people"]["k"]
        others, used, unused = (
            self._drawn(*place, k)
            for place in (
                ("non_members", "calibration"),
                ("members", "test"),
                ("non_members", "test"),
            )
        )
        return {
            "k": k,
            "persons_calibration": len(others),
            "persons_test": len(used),
            "resolution": conformal.resolution(len(others)),
            "power": self._rejected("people", "power", others, used),
            "false_alarms": self._rejected("people", "false_alarms", others, unused),
        }

    @functools.cached_property
    def h0_image(self) -> dict:
        calibration, others, used = (
            self._one_each(*place)
            for place in (("unused", "calibration"), ("unused", "test"), ("members", "test"))
        )
        return {
            "n_calibration": len(calibration),
            "resolution": conformal.resolution(len(calibration)),
            "power": self._rejected("h0_image", "power", calibration, used),
            "false_alarms": self._rejected("h0_image", "false_alarms", calibration, others),
        }

    def _scores(self, population: str, part: str) -> np.ndarray:
        return np.array(self._data["parts"][population][part]["scores"], float)

    def _identities(self, population: str, part: str) -> np.ndarray:
        people = np.array(self._data["parts"][population][part]["identities"], int)
        if len(people) != len(self._scores(population, part)):
            raise ValueError(f"{population}, {part}: not as many people as scores")
        return people

    def _drawn(self, population: str, part: str, k: int) -> np.ndarray:
        """Scores of the people of a part who have k photos."""
        scores, people = self._scores(population, part), self._identities(population, part)
        return np.array(list(persons.draw_scores(scores, people, k, self._seeds["audit"]).values()))

    def _one_each(self, population: str, part: str) -> np.ndarray:
        rows = operating.one_each(self._identities(population, part), self._seeds["audit"])
        return self._scores(population, part)[rows]

    def _rejected(self, claim: str, rate: str, calibration: np.ndarray, drawn: np.ndarray) -> dict:
        """{level: rate of rejections at it} at the levels of a claim."""
        p, found = conformal.p_values(calibration, drawn), {}
        for level in self._claims[claim][rate]:
            hits = int(np.sum(p <= float(level)))
            interval = operating.clopper_pearson(hits, len(p))
            able = conformal.resolution(len(calibration)) <= float(level)
            found[level] = {"rate": hits / len(p), "rate_ci95": interval} if able else None
        return found


def _thresholds(scores: np.ndarray, claims: Mapping[str, Any]) -> dict[str, float | None]:
    """{false-alarm rate: threshold} at the rates of the operating points of `claims`."""
    return {fpr: operating.freeze(scores, float(fpr)) for fpr in claims["operating_points"]}


def _tests(data: Mapping[str, Any]) -> dict[str, dict]:
    """Both tests of a verdict, as JSON."""
    people, images = ({k: np.array(v) for k, v in data[side].items()} for side in _CALIBRATIONS)
    found = conformal.image_evidence(
        data["score"], people, images, data["alpha"], data["unsupported"]
    )
    return {name: test.to_json() for name, test in found.items()}


def _called(
    control: Mapping[str, Any], shares: tuple[np.ndarray, np.ndarray] | None
) -> dict[str, Any]:
    """How many of the replicates of a control call each image a member."""
    found = {key: control[key] for key in ("name", "title", "replicates")} | {"called": None}
    if shares is not None:
        counts = [np.rint(x * control["replicates"]).astype(int).tolist() for x in shares]
        found["called"] = dict(zip(("members", "non_members"), counts))
    return found


def _sealed(
    kind: str, origin: Mapping[str, Any], data: Mapping[str, Any], claims: Mapping[str, Any]
) -> dict[str, Any]:
    head = {"schema": _SCHEMA, "version": _VERSION, "kind": kind}
    document = {**head, **origin, "data": data, "claims": claims}
    return document | {"digest": digest(document)}


def _hashed(folder: str | Path, path: str | Path) -> dict[str, Any]:
    """{"folder": relative to the bundle's, "files": {name: SHA-256}} of a file, or of a folder."""
    path = Path(path)
    base, files = (path, path.rglob("*")) if path.is_dir() else (path.parent, [path])
    found = {f.relative_to(base).as_posix(): _sha256(f) for f in sorted(files) if f.is_file()}
    return {"folder": Path(os.path.relpath(base, folder)).as_posix(), "files": found}


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _commit(package: Path) -> str | None:
    """The commit that is checked out where this package lies; None outside of a checkout."""
    if not (package.parent / ".git").exists():
        return None
    command = ["git", "-C", str(package), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _check_parts(document: Mapping[str, Any]) -> tuple[bool, str]:
    """The rules of `lint` that the content of a bundle can break."""
    parts, claims = document["data"]["parts"], document["claims"]
    columns = ("keys", "identities")
    findings = rules.lint(
        {
            "parts": {
                population: {name: {k: part[k] for k in columns} for name, part in found.items()}
                for population, found in parts.items()
            },
            "scores": {
                population: {name: np.array(part["scores"]) for name, part in found.items()}
                for population, found in parts.items()
            },
            "thresholds": claims["thresholds"],
            "matched": claims["matched"],
        }
    )
    if not findings:
        return True, "No image and no person is in two parts, and no label is turned round."
    broken = any(finding.severity == rules.ERROR for finding in findings)
    return not broken, " ".join(finding.text for finding in findings)


def _check_files(folder: Path, what: str, document: Mapping[str, Any]) -> tuple[bool | None, str]:
    record = document[what]
    if record is None:
        return None, "None is named."
    names = {f"{record['folder']}/{name}": sha256 for name, sha256 in record["files"].items()}
    there = {name: (folder / name).is_file() for name in names}
    if not any(there.values()):
        return None, f"Nothing of it is in {record['folder']} from here, and it was not compared."
    for name, sha256 in names.items():
        if not there[name]:
            return False, f"{name} is missing."
        if _sha256(folder / name) != sha256:
            return False, f"{name} is another file than it was."
    return True, f"Every file is the one that was used ({len(names)})."


def _check_images(folder: Path, document: Mapping[str, Any]) -> tuple[bool | None, str]:
    """The keys' hashes against the manifest's keys, row by row."""
    manifest = _first_file(folder, document["manifest"])
    if manifest is None:
        return None, "Without the manifest nobody can tell which images the scores belong to."
    sides = json.loads(manifest.read_text(encoding="utf-8"))["sides"]
    own, others = salt_of(manifest), "non_members" if document["claims"]["matched"] else "externals"
    for population, parts in document["data"]["parts"].items():
        side = others if population == "non_members" else population
        for name, part in parts.items():
            rows = sides[side][name]["rows"]
            if part["keys"] != [salted(own, key) for _, _, key, _ in rows]:
                return False, f"The images of {side} ({name}) are not those of the manifest."
    return True, "The images are those of the manifest, in its order."


def _first_file(folder: Path, record: Mapping[str, Any] | None) -> Path | None:
    """The first of the files of a record, where it is reachable."""
    if record is None:
        return None
    file = folder / record["folder"] / next(iter(record["files"]))
    return file if file.is_file() else None


def _check_audited(
    folder: Path, given: str | None, document: Mapping[str, Any]
) -> tuple[bool | None, str]:
    """The audited network against the one that the auditor was trained on, and a given one."""
    sha256 = document["audited"]["sha256"]
    auditor = folder / document["auditor"]["folder"] / "auditor.json"
    if auditor.is_file() and json.loads(auditor.read_text())["audited_sha256"] != sha256:
        return False, "The auditor was trained on another network."
    if given is None:
        return None, f"SHA-256 {sha256}; the network was not at hand."
    if given != sha256:
        return False, f"The network at hand is {given}, the audited one {sha256}."
    return True, f"SHA-256 {sha256}."


def _check_code(document: Mapping[str, Any]) -> tuple[bool | None, str]:
    made, here = document["code"], code()
    if made["sha256"] == here["sha256"]:
        return True, f"Version {here['version']}, the same source files."
    return None, (
        f"It was made with version {made['version']} (commit {made['commit']}), and was checked "
        f"with version {here['version']} (commit {here['commit']}): the source files differ."
    )
