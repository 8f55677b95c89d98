"""The JSON of the API, as /openapi.json describes it."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from mint_jax.demonstrator import report
from mint_jax.demonstrator.limits import Limits
from mint_jax.demonstrator.running import Examination
from mint_jax.demonstrator.uploads import FIELD


class ModelFinding(BaseModel):
    """What an audited model says of a face."""

    model: str
    verdict: Literal["likely_used", "no_evidence", "cannot_tell"]
    reason: str = Field(description="a word for programs", examples=["out_of_support"])
    p_value: float | None = Field(
        description="of the hypothesis that the image was not used, corrected over the models; "
        "not the probability that it was not used"
    )
    likelihood_ratio: float | None = Field(description="used against not used")
    score: float | None = Field(description="of the auditor; not a probability of use")


class FaceFindings(BaseModel):
    """A face, and what each audited model says of it."""

    box: Annotated[list[int], Field(min_length=4, max_length=4)] = Field(
        description="left, top, right, bottom in pixels of the upright photo"
    )
    models: list[ModelFinding]


class PhotoFindings(BaseModel):
    """A photo; its faces, the largest first."""

    name: str
    sha256: str
    faces: list[FaceFindings]


class Answer(BaseModel):
    """Of POST /api/v1/run; photos in the order in which they came."""

    photos: list[PhotoFindings]


class Error(BaseModel):
    """Why there is no answer: a word for programs, and a sentence."""

    code: str
    message: str


class ErrorAnswer(BaseModel):
    """Of every request without an answer."""

    error: Error


_REFUSALS = {
    400: "a broken form",
    413: "too large",
    415: "no form, or no image that is read",
    422: "no photo, no face, or too many of them",
    429: "too many requests of one client",
    503: "busy, or it took too long",
}
RESPONSES = {
    status: {"model": ErrorAnswer, "description": text} for status, text in _REFUSALS.items()
}
_FILE = {"type": "string", "format": "binary", "contentMediaType": "application/octet-stream"}


def request(limits: Limits) -> dict:
    """The form that is accepted, as OpenAPI says it."""
    files = {"type": "array", "minItems": 1, "maxItems": limits.photos, "items": _FILE}
    form = {
        "schema": {"type": "object", "required": [FIELD], "properties": {FIELD: files}},
        "encoding": {FIELD: {"contentType": "image/jpeg, image/png, image/webp"}},
    }
    return {"requestBody": {"required": True, "content": {"multipart/form-data": form}}}


def answer(found: Examination) -> Answer:
    """An examination as the API gives it."""
    return Answer(
        photos=[
            PhotoFindings(
                name=photo.name,
                sha256=photo.sha256,
                faces=[
                    FaceFindings(box=list(face.box), models=[_finding(own) for own in findings])
                    for face, findings in zip(photo.faces, photo.findings.values())
                ],
            )
            for photo in found.photos
        ]
    )


def _finding(own) -> ModelFinding:
    return ModelFinding(
        model=own.model,
        verdict=own.verdict,
        reason=own.reason,
        p_value=report.finite(own.p_value),
        likelihood_ratio=report.finite(own.likelihood_ratio),
        score=report.finite(own.score),
    )
