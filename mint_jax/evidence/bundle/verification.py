"""Verification of an evidence bundle: every claim is made again of the scores in the file."""

import functools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mint_jax.evidence import lint as rules
from mint_jax.evidence.bundle import document as content
from mint_jax.evidence.claims import Claims, Control, Scored

_TOLERANCE = {"likelihood": 1e-3}  # an optimiser ends elsewhere on another machine
_EXACT = 1e-6  # relative


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


def verify(path: str | Path, audited_sha256: str | None = None) -> list[Check]:
    """Computes everything again that a bundle claims, and hashes what is reachable from it.

    Args:
      path: of `bundle.json`.
      audited_sha256: of the audited network, where it is at hand.

    Raises:
      InputError: not an evidence bundle.
    """
    document, folder = content.read(path), Path(path).parent
    is_audit = document["kind"] == "audit"
    compute = _recomputed(document)
    names = content.CLAIMS[document["kind"]]
    checks = {"digest": _check_digest}
    checks |= {name: functools.partial(_check_claim, compute, name) for name in names}
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
    if document["kind"] == "verdict":
        return lambda name: content.tests(document["data"])[name]
    audit = functools.cache(lambda: _audit(document))  # what cannot be read fails in each check
    return lambda name: content.claimed(name, getattr(audit(), name))


def _checked(name: str, check: Callable, document: Mapping[str, Any]) -> Check:
    try:
        return Check(name, *check(document))
    except OSError as error:
        return Check(name, None, f"{error.filename}: {error.strerror}.")
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return Check(name, False, f"It cannot be computed from what the file holds ({reason}).")


def _check_digest(document: Mapping[str, Any]) -> tuple[bool, str]:
    found = content.digest(document)
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


def _audit(document: Mapping[str, Any]) -> Claims:
    """The claims of an audit, out of the scores in its bundle."""
    data, said = document["data"], document["claims"]
    parts = {
        population: {name: _scored(f"{population}, {name}", part) for name, part in named.items()}
        for population, named in data["parts"].items()
    }
    sizes = [len(parts[side]["test"].scores) for side in ("members", "non_members")]
    rivals = [_control(row, sizes) for row in data["controls"]]
    return Claims(
        parts, rivals, said["matched"], document["seeds"]["audit"], target=said["target_fpr"]
    )


def _scored(name: str, part: Mapping[str, Any]) -> Scored:
    people, scores = np.array(part["identities"], int), np.array(part["scores"], float)
    if people.shape != scores.shape:
        raise ValueError(f"{name}: not as many people as scores")
    return Scored(people, scores)


def _control(row: Mapping[str, Any], sizes: Sequence[int]) -> Control:
    called = row["called"]
    if called is not None:
        sides = called["members"], called["non_members"]
        called = tuple(_bits(side, n) for side, n in zip(sides, sizes))
    return Control(row["name"], row["title"], row["replicates"], called)


def _bits(rows: Sequence[str], n: int) -> np.ndarray:
    """(S, n) bool out of S strings of hexadecimal digits."""
    packed = np.array([list(bytes.fromhex(row)) for row in rows], np.uint8)
    if packed.shape[1:] != (math.ceil(n / 8),):
        raise ValueError(f"a control has not called {n} images")
    return np.unpackbits(packed, axis=1, count=n).astype(bool)


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
        if content.sha256_of(folder / name) != sha256:
            return False, f"{name} is another file than it was."
    return True, f"Every file is the one that was used ({len(names)})."


def _check_images(folder: Path, document: Mapping[str, Any]) -> tuple[bool | None, str]:
    """The keys' hashes against the manifest's keys, row by row."""
    manifest = _first_file(folder, document["manifest"])
    if manifest is None:
        return None, "Without the manifest nobody can tell which images the scores belong to."
    sides = json.loads(manifest.read_text(encoding="utf-8"))["sides"]
    own = content.salt_of(manifest)
    others = "non_members" if document["claims"]["matched"] else "externals"
    for population, parts in document["data"]["parts"].items():
        side = others if population == "non_members" else population
        for name, part in parts.items():
            rows = sides[side][name]["rows"]
            if part["keys"] != [content.salted(own, key) for _, _, key, _ in rows]:
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
    made, here = document["code"], content.code()
    if made["sha256"] == here["sha256"]:
        return True, f"Version {here['version']}, the same source files."
    return None, (
        f"It was made with version {made['version']} (commit {made['commit']}), and was checked "
        f"with version {here['version']} (commit {here['commit']}): the source files differ."
    )
