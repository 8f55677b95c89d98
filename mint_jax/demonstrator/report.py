"""The report that is taken home: what was asked, what was found, and how to check it.

It rides in the result page as two `data:` links, because the server keeps nothing: no second
computation, no signing key, and a page that was saved still has its report. The image is not in
it; its SHA-256 is.
"""

import base64
import dataclasses
import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from mint_jax.demonstrator.examiner import Finding, Model
from mint_jax.demonstrator.running import Examination, Photo
from mint_jax.demonstrator.words import Words

CHECK_PHOTO = "sha256sum PHOTO"
CHECK_SCORE = (
    "python -m experiments.verdict --audited=MODEL --auditor=AUDITOR --images=FOLDER --workdir=NEW"
)


def now() -> str:
    """The date of a report: UTC, ISO 8601, in seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def document(found: Examination, models: Sequence[Model], words: Words, date: str) -> dict:
    """The report as JSON values, its sentences in the language of `words`.

    Returns:
      {"date", "statements": [str], "models": [{"name", "sha256", "auditor", "layers", "training",
      "matched", "found", "fpr", "headline", "controls": {"points", "against", "reasons"}}],
      "photos": [{"name", "sha256", "error", "faces_found", "faces": [{"number", "box",
      "findings": [FINDING]}]}], "together": [FINDING], "verification": [str]}.
      Faces are those that were examined, numbered among all that were found, the largest first.
      FINDING = {"model", "verdict", "reason", "says": [str], "why": the audit's own words, in
      English, or None, "score", "p_value", "likelihood_ratio", "likelihood_ratio_bounds"}.
    """

    def photo(own: Photo) -> dict[str, Any]:
        error = own.error and words.error(own.error.code, own.error.details)
        faces = [
            {
                "number": i + 1,
                "box": list(own.faces[i].box),
                "findings": _findings(findings, words),
            }
            for i, findings in own.findings.items()
        ]
        about = {"name": own.name, "sha256": own.sha256, "error": error}
        return about | {"faces_found": len(own.faces), "faces": faces}

    return {
        "date": date,
        "statements": words.report_statements,
        "models": [_model(model) for model in models],
        "photos": [photo(own) for own in found.photos],
        "together": _findings(found.together, words, together=True),
        "verification": [CHECK_PHOTO, CHECK_SCORE],
    }


def dump(report: dict) -> str:
    """A report as a JSON file."""
    return json.dumps(report, ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def link(kind: str, text: str) -> str:
    """A `data:` address that holds a whole file of a media type."""
    return f"data:{kind};charset=utf-8;base64,{base64.b64encode(text.encode()).decode()}"


def finite(value: float | None) -> float | None:
    """A number as JSON has it; None for infinities and NaN, which it has not."""
    return float(value) if value is not None and math.isfinite(value) else None


def _findings(findings: Sequence[Finding], words: Words, together: bool = False) -> list[dict]:
    return [
        {
            "model": own.model,
            "verdict": own.verdict,
            "reason": own.reason,
            "says": words.sentences(own, together),
            "why": own.details.get("why"),
            "score": finite(own.score),
            "p_value": finite(own.p_value),
            "likelihood_ratio": finite(own.likelihood_ratio),
            "likelihood_ratio_bounds": own.likelihood_ratio_bounds
            and [finite(bound) for bound in own.likelihood_ratio_bounds],
        }
        for own in findings
    ]


def _model(model: Model) -> dict[str, Any]:
    found = dataclasses.asdict(model)
    del found["members"], found["non_members"]
    return found | {"layers": list(model.layers), "found": finite(model.found)}
