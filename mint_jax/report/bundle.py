"""One evidence bundle as a self-contained HTML page beside its JSON."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2

from mint_jax.evidence import bundle
from mint_jax.report import words

PAGE = "bundle.html"
_TITLES = {"people": "The person", "h0_image": "The image"}


def write(folder: str | Path, document: Mapping[str, Any]) -> Path:
    """Writes `bundle.json` and `bundle.html` into a folder.

    Args:
      folder: made where it is not there.
      document: of `mint_jax.evidence.bundle`.

    Returns:
      The path of `bundle.json`.
    """
    path = bundle.write(folder, document)
    path.with_name(PAGE).write_text(render(document), encoding="utf-8")
    return path


def render(document: Mapping[str, Any]) -> str:
    """The page of a bundle as a string; it shows the claims and does not check them."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mint_jax.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    claims = document["claims"]
    return environment.get_template("bundle.html.j2").render(
        document=document,
        claims=claims,
        words=words,
        controls=claims.get("controls", []),
        tests=list(_tests(claims)) if document["kind"] == "audit" else [],
        files=list(_files(document)),
        command=f"python -m experiments.verify_bundle --bundle={bundle.FILE}",
    )


def _tests(claims: Mapping[str, Any]) -> Iterator[dict]:
    """A row for each test and level: how often members and non-members were rejected.

    "given" has the same rates of the p-values that hold given the calibration set.
    """
    for name, title in _TITLES.items():
        found = claims[name] or {"power": {}}
        for level, power in found["power"].items():
            yield {
                "title": title,
                "level": level,
                "power": power,
                "false_alarms": found["false_alarms"][level],
                "given": found["conditional"][level],
                "n": found.get("persons_calibration", found.get("n_calibration")),
                "resolution": found["resolution"],
            }


def _files(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(name, SHA-256) of everything that the evidence was made with."""
    yield "Audited network", document["audited"]["sha256"]
    for what in ("auditor", "manifest"):
        record = document[what] or {"files": {}}
        for name, sha256 in record["files"].items():
            yield f"{what.capitalize()}: {name}", sha256
    yield "Source files of the program", document["code"]["sha256"]
