"""What the web pages ask of whoever reads photos: faces out of bytes, findings out of faces.

The pages know neither detectors nor networks; `experiments.serving` has them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

LIKELY_USED = "likely_used"
NO_EVIDENCE = "no_evidence"
CANNOT_TELL = "cannot_tell"
SHAPE = (112, 112, 3)  # of an aligned face: uint8 RGB


class PhotoError(Exception):
    """A photo that cannot be examined.

    Attributes:
      code: a word for programs, out of `english.ERRORS`; `details`, values that JSON has, fill
        its sentence.
    """

    def __init__(self, code: str, **details: Any):
        super().__init__(code)
        self.code, self.details = code, details


@dataclass(frozen=True)
class Face:
    """A face as the networks read it.

    Attributes:
      box: left, top, right, bottom in pixels of the upright photo.
      image: uint8 RGB of `SHAPE`, aligned.
      placement: (2,) how it lay in its photo, as the in-support gate wants it.
    """

    box: tuple[int, int, int, int]
    image: np.ndarray
    placement: tuple[float, float]


@dataclass(frozen=True)
class Finding:
    """What one audited model says of one face, or of several photos of one person.

    Attributes:
      model: the `Model.name`.
      verdict: `LIKELY_USED`, `NO_EVIDENCE` or `CANNOT_TELL`.
      reason: a word for programs, out of `english.REASONS`; `details` fills its sentence, and
        its "why", if it has one, are the audit's own words in English; "photos" is how many
        different ones count, "found" the share of used ones on which such a verdict says so.
      score: membership probability; None of a face that was not scored.
      p_value: of the hypothesis that the image was not used, corrected over the models; None where
        none is given.
      likelihood_ratio: used against not used, and its bounds; None where none is given.
    """

    model: str
    verdict: str
    reason: str
    details: Mapping[str, Any] = field(default_factory=dict)
    score: float | None = None
    p_value: float | None = None
    likelihood_ratio: float | None = None
    likelihood_ratio_bounds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Controls:
    """What an audit found that its controls, explanations without membership, did not.

    Attributes:
      points: of 100 used images, how many more it finds than the nearest control; a lower 95%
        bound. None where none was measured.
      against: the name of that control, out of `english.CONTROLS`.
      reasons: why the audit did not pass, in its own words, in English; none where it did.
    """

    points: float | None
    against: str | None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Model:
    """An audited model with the auditor that decides, as its card shows it.

    Attributes:
      name, sha256: of the audited model.
      auditor: sha256 of the exported auditor's arrays and description.
      layers, training: what it is and what is known of its training, in words.
      matched: whether the audit had non-members of the members' own collection.
      found: share of used images that this audit finds at false-alarm rate `fpr`; None: unknown.
      headline: the audit's own sentence, in English.
      controls: what it found that its controls did not.
      members, non_members: sorted calibration scores, where a face's score is shown among.
    """

    name: str
    sha256: str
    auditor: str
    layers: tuple[str, ...]
    training: str
    matched: bool
    found: float | None
    fpr: float
    headline: str
    controls: Controls
    members: np.ndarray
    non_members: np.ndarray


class Examiner(Protocol):
    """Reads photos. `find` may be called from several threads, the others from one at a time."""

    models: Sequence[Model]

    def find(self, data: bytes) -> list[Face]:
        """Faces of an uploaded file, the largest first.

        Raises:
          PhotoError: not an image, damaged, no face, too many faces.
        """

    def judge(self, faces: Sequence[Face]) -> list[list[Finding]]:
        """For each face the findings of all models, in their order."""

    def combine(self, faces: Sequence[Face]) -> list[Finding]:
        """Findings of all models about several photos of one person; copies count once."""
