"""The pages, rendered on the server; they work without scripts."""

import base64
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import jinja2

from mint_jax.demonstrator import report
from mint_jax.demonstrator.examiner import Examiner, Face
from mint_jax.demonstrator.limits import Limits
from mint_jax.demonstrator.plots import ScorePlot
from mint_jax.demonstrator.refusals import Refused
from mint_jax.demonstrator.running import Examination, Photo
from mint_jax.demonstrator.sealing import HOURS
from mint_jax.demonstrator.words import LANGUAGES, Words


class Choice(NamedTuple):
    """Faces to choose from, as they are chosen so far.

    Attributes:
      photos: whose faces were found.
      chosen: places in `faces` of each photo.
      person: whether the photos are said to show one person.
      sealed: the photos, to come back with the choice.
    """

    photos: Sequence[Photo]
    chosen: Sequence[Sequence[int]]
    person: bool
    sealed: str

    @property
    def wrong(self) -> str | None:
        """Why the chosen faces cannot be examined, out of `english.ERRORS`."""
        if not any(self.chosen):
            return "no_face_chosen"
        return "one_face_each" if self.person and max(map(len, self.chosen)) > 1 else None


class Pages:
    """Everything that is shown to people.

    Attributes:
      style, script: the two files that pages ask for, of their own origin.
    """

    def __init__(self, examiner: Examiner, limits: Limits, examples: Sequence[Any]):
        self._models, self._limits, self._examples = examiner.models, limits, examples
        self._plots = {model.name: ScorePlot(model) for model in examiner.models}
        self._jinja = jinja2.Environment(
            loader=jinja2.PackageLoader("mint_jax.demonstrator"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        loader = self._jinja.loader
        self.style, self.script = (
            loader.get_source(self._jinja, name)[0] for name in ("style.css", "script.js")
        )

    def home(self, words: Words) -> str:
        """The form, the examples, and what is audited here."""
        limits, megabytes = self._limits, self._limits.file_bytes >> 20
        return self._render("home", words, limits=limits, megabytes=megabytes)

    def error(self, words: Words, refused: Refused) -> str:
        """Why a request has no answer."""
        return self._render("error", words, message=words.error(refused.code, refused.details))

    def choice(self, words: Words, choice: Choice) -> str:
        """The faces that were found, to choose from."""
        return self._render("choice", words, choice=choice, thumbnail=_thumbnail, hours=HOURS)

    def result(self, words: Words, found: Examination, example: Any = None) -> str:
        """Verdicts, with the report to download; `example`: what is known of an example."""
        date = report.now()
        document = report.document(found, self._models, words, date)
        return self._render(
            "result",
            words,
            found=found,
            document=document,
            example=example,
            faces=sum(len(photo.findings) for photo in found.photos),
            thumbnail=_thumbnail,
            html_link=report.link("text/html", self.report(words, document)),
            json_link=report.link("application/json", report.dump(document)),
            file=f"mint-report-{date[:10]}",
        )

    def report(self, words: Words, document: dict) -> str:
        """A report as one HTML file that needs nothing else."""
        checks = (report.CHECK_PHOTO, report.CHECK_SCORE)
        return self._render("report", words, document=document, style=self.style, checks=checks)

    def _render(self, name: str, words: Words, **values: Any) -> str:
        return self._jinja.get_template(f"{name}.html.j2").render(
            words=words,
            languages=LANGUAGES,
            models=self._models,
            plots=self._plots,
            examples=self._examples,
            **values,
        )


def _thumbnail(face: Face) -> str:
    """An aligned face as a `data:` address."""
    encoded = cv2.imencode(".jpg", face.image[..., ::-1])[1]
    return f"data:image/jpeg;base64,{base64.b64encode(encoded).decode()}"
