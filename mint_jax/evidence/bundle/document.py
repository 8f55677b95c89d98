"""The evidence bundle: what an audit or a verdict claims, with the scores that it follows from.

Whoever has the file can compute every claim again (`verification`), without images, network or GPU.
It holds no image and no name: people are numbers that mean nothing outside of the bundle, and keys
of images are HMAC-SHA-256 under a salt (RFC 2104) that only who has the audit set's manifest can
make. The digest shows that nothing was changed since it was noted down elsewhere; it is no
signature, and scores that were made up together with their claims cannot be told by the file alone.

Calls of controls stand in it, a bit an image and replicate, not their scores, which would be
hundreds of times as large. Whether non-members are of the members' own collection does not follow
from scores either; the manifest shows it.
"""

import functools
import hashlib
import hmac
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import mint_jax
from mint_jax.errors import InputError
from mint_jax.evidence import conformal
from mint_jax.evidence.claims import thresholds

FILE = "bundle.json"
ABOUT = ("date", "audited", "auditor", "manifest", "configuration", "seeds", "libraries", "code")
CLAIMS = {
    "audit": (
        *("thresholds", "operating_points", "controls", "gate", "headline"),
        *("likelihood", "people", "h0_image"),
    ),
    "verdict": ("h0_person", "h0_image"),
}
_SCHEMA, _VERSION = "mint-jax evidence bundle", 2
_CALIBRATIONS = ("people", "images")  # of a verdict


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
      calls: {control: which members (S, a) and which non-members (S, b) of the test parts each of
        its replicates calls, or None}, as `examination.Scores.called` gives them.
      origin: of `about`; its seed "audit" is that of the evidence.
      matched: whether the non-members are of the members' own collection.
      salt: of `salt_of`.
    """
    frozen = thresholds(observed["non_members"]["threshold"].scores)
    known = {**evidence, "matched": matched, "thresholds": frozen}
    names = ("auditor", "target_fpr", "matched", *CLAIMS["audit"])
    claims = {name: claimed(name, known[name]) for name in names}
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
    return _sealed("verdict", origin, data, tests(data))


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
        content.update(f"{file.relative_to(folder).as_posix()} {sha256_of(file)}\n".encode())
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
    if schema != (_SCHEMA, _VERSION) or document.get("kind") not in CLAIMS:
        raise InputError(f"{path}: an evidence bundle of a kind or version that is not known here")
    for key in (*ABOUT, "data", "claims", "digest"):
        if key not in document:
            raise InputError(f"{path}: an evidence bundle without {key!r}")
    for key in ("data", "claims"):
        if not isinstance(document[key], dict):
            raise InputError(f"{path}: {key!r} is not an object")
    return document


def tests(data: Mapping[str, Any]) -> dict[str, dict]:
    """Both tests of a verdict, as JSON, out of the data of its bundle."""
    people, images = ({k: np.array(v) for k, v in data[side].items()} for side in _CALIBRATIONS)
    found = conformal.image_evidence(
        data["score"], people, images, data["alpha"], data["unsupported"]
    )
    return {name: test.to_json() for name, test in found.items()}


def claimed(name: str, value: Any) -> Any:
    """A claim as a bundle has it: without the Tippett curves, and without AUCs of controls."""
    if name == "likelihood":
        return {key: x for key, x in value.items() if key != "tippett"}
    if name == "controls":
        return [{k: x for k, x in row.items() if not k.startswith("auc")} for row in value]
    return value


def _called(
    control: Mapping[str, Any], calls: tuple[np.ndarray, np.ndarray] | None
) -> dict[str, Any]:
    """What the replicates of a control call members: a string of hexadecimal digits each."""
    found = {key: control[key] for key in ("name", "title", "replicates")} | {"called": None}
    if calls is not None:
        rows = [[np.packbits(row).tobytes().hex() for row in side] for side in calls]
        found["called"] = dict(zip(("members", "non_members"), rows))
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
    found = {f.relative_to(base).as_posix(): sha256_of(f) for f in sorted(files) if f.is_file()}
    return {"folder": Path(os.path.relpath(base, folder)).as_posix(), "files": found}


def sha256_of(file: Path) -> str:
    """SHA-256 of a file's content."""
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
