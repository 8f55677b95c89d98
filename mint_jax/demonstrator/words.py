"""Sentences and numbers in the visitor's language; one place says what a verdict is said with."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mint_jax.demonstrator import english, spanish
from mint_jax.demonstrator.examiner import CANNOT_TELL, NO_EVIDENCE, Finding, Model

LANGUAGES = {"en": "English", "es": "Español"}
_WORDS = {"en": english, "es": spanish}


def language(asked: str | None, accepted: str = "") -> str:
    """The language of a page.

    Args:
      asked: `?lang=`, which decides where it is known.
      accepted: Accept-Language (RFC 9110, section 12.5.4).
    """
    if asked in LANGUAGES:
        return asked
    ranked = []
    for entry in accepted.replace(" ", "").split(",")[:20]:
        tag, _, weight = entry.partition(";q=")
        try:
            quality = float(weight) if weight else 1.0
        except ValueError:
            continue
        ranked.append((quality, tag.lower().split("-")[0]))
    known = [(quality, tag) for quality, tag in ranked if tag in LANGUAGES and quality > 0]
    return max(known, key=lambda pair: pair[0])[1] if known else "en"


class Words:
    """The words of one language: `words.run` is a text, and the methods fill sentences."""

    def __init__(self, name: str):
        self.name, self._words = name, _WORDS[name]

    def __getattr__(self, key: str) -> Any:
        try:
            return self._words.TEXT[key]
        except KeyError:
            raise AttributeError(key) from None

    def error(self, code: str, details: Mapping[str, Any]) -> str:
        """The sentence of a refusal, or of a photo that cannot be examined."""
        return self._words.ERRORS.get(code, self._words.ERRORS["unreadable"]).format_map(
            _Known(details)
        )

    def verdict(self, code: str) -> str:
        """`likely_used` -> `Likely used`"""
        return self._words.VERDICTS[code]

    def sentences(self, finding: Finding, together: bool = False) -> list[str]:
        """What is said beside a verdict: why, how rare it is, and what the audit would find."""
        reasons = self._words.REASONS
        reason = reasons.get(finding.reason, reasons["other"]).format_map(_Known(finding.details))
        said = [reason]
        if together and "photos" in finding.details:
            said.append(self.counted.format_map(finding.details))
        if finding.p_value is not None and finding.verdict != CANNOT_TELL:
            said.append(self._reaction(finding.p_value, "_together" if together else ""))
        if finding.verdict == NO_EVIDENCE:
            said.append(self.found(finding, together))
        if finding.verdict == CANNOT_TELL and finding.score is not None:
            said.append(self.no_figures)
        return said

    def found(self, finding: Finding, together: bool = False) -> str:
        """What stands beside every "no evidence"."""
        photos, share = (finding.details.get(key) for key in ("photos", "found"))
        key = ("found_unknown" if share is None else "found") + "_together" * together
        return self._words.TEXT[key].format(n=self.hundred(share or 0), photos=photos)

    def face_of(self, place: int, count: int) -> str:
        """A face among all that were found in its photo, of which the first is the largest."""
        if count == 1:
            return self.one_face
        largest = f" ({self.largest})" if place == 0 else ""
        return self.face.format(number=place + 1, count=count) + largest

    def controls_of(self, model: Model) -> str:
        """What an audit found that its controls did not; before its own words, where it failed."""
        points, against = model.controls.points, model.controls.against
        if model.controls.reasons:
            return self.controls_failed
        name = self._words.CONTROLS.get(against, against)
        return self.controls_passed.format(points=self.number(points), against=name)

    def power(self, model: Model) -> str:
        """How many used photos an audit finds, and at what price."""
        if model.found is None:
            return self.power_unknown
        found, fpr = self.hundred(model.found), self.number(100 * model.fpr)
        return self.power_value.format(found=found, fpr=fpr)

    def ratio_of(self, value: float | None, bounds: Sequence[float] | None) -> str:
        """A likelihood ratio and its bounds; `not given`."""
        if value is None or bounds is None or not math.isfinite(value):
            return self.number(value)
        low, high = map(self.number, bounds)
        return self.ratio_value.format(value=self.number(value), low=low, high=high)

    def hundred(self, share: float) -> str:
        """Of 100; with one decimal below 10."""
        return self.number(round(100 * share, 1 if share < 0.1 else None))

    def number(self, value: float | None) -> str:
        """Three significant digits, or all before the point; with a comma in Spanish."""
        if value is None or not math.isfinite(value):
            return self.none
        text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
        if abs(value) < 1e-3 and value:
            text = f"{value:.5f}".rstrip("0") if abs(value) >= 1e-5 else f"{value:.0e}"
        return text.replace(".", ",") if self.name == "es" else text

    def _reaction(self, p: float, subject: str) -> str:
        """The sentence about a p-value: true because 1 / N is above p, and n / 100 at least p."""
        if 100 * p >= 2:
            return self._words.TEXT["common" + subject].format(n=math.ceil(100 * p - 1e-9))
        return self._words.TEXT["rarer" + subject].format(n=fewer_than_one_in(p))


def fewer_than_one_in(p: float) -> int:
    """The largest N of two significant digits with p < 1 / N."""
    n = math.ceil(1 / p - 1e-9) - 1
    step = 10 ** max(0, len(str(n)) - 2)
    return n // step * step


class _Known(dict):
    """Details of a sentence; one that is missing stays visible as a dash."""

    def __missing__(self, key: str) -> str:
        return "–"
