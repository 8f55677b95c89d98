"""Both languages say the same things, and what is said of a p-value is true."""

import string

import numpy as np
import pytest

from mint_jax.demonstrator import english, spanish, words
from mint_jax.demonstrator.examiner import Controls, Finding, Model
from mint_jax.demonstrator.words import Words, fewer_than_one_in, language


def _fields(text: str) -> set[str]:
    return {field for _, field, _, _ in string.Formatter().parse(text) if field}


@pytest.mark.parametrize("name", ["VERDICTS", "REASONS", "CONTROLS", "ERRORS", "TEXT"])
def test_spanish_has_the_keys_and_fields_of_english(name):
    own, other = getattr(english, name), getattr(spanish, name)
    assert list(own) == list(other)
    for key, text in own.items():
        if isinstance(text, list):
            assert len(text) == len(other[key])
        else:
            assert _fields(text) == _fields(other[key]), key
            assert text != other[key] or key == "no"  # "no" is Spanish, too


@pytest.mark.parametrize(
    "asked, accepted, expected",
    [
        ("es", "en", "es"),
        ("xx", "es-MX, en;q=0.5", "es"),
        (None, "en;q=0.4, es; q=0.9", "es"),
        (None, "de, fr;q=0.9", "en"),
        (None, "es;q=0, en;q=0.1", "en"),
        (None, "es;q=nan,,;;q=1", "en"),
        (None, "", "en"),
        (None, "en, " * 10000 + "es;q=2", "en"),
    ],
)
def test_language(asked, accepted, expected):
    assert language(asked, accepted) == expected


def test_fewer_than_one_in_is_true_and_tight():
    for p in np.geomspace(1e-6, 0.02, 5000):
        n = fewer_than_one_in(p)
        assert p < 1 / n
        assert n >= (1 / p - 1) * 0.9 - 1
    assert fewer_than_one_in(0.01) == 99
    assert fewer_than_one_in(1 / 301) == 300


def _model(controls: Controls = Controls(4.3, "pixels")) -> Model:
    none = np.zeros(0)
    return Model("m", "", "", (), "", True, 0.2, 0.01, "", controls, none, none)


def _weak(found: float | None) -> Finding:
    details = {"photos": 3, "found": found}
    return Finding("m", "no_evidence", "weak_p", details, 0.4, 0.3, 1.0, (0.5, 2.0))


@pytest.mark.parametrize("name", words.LANGUAGES)
@pytest.mark.parametrize("found", [None, 0.0, 0.004, 0.21, 1.0])
@pytest.mark.parametrize("together", [False, True])
def test_no_evidence_never_stands_alone(name, found, together):
    said = Words(name).sentences(_weak(found), together)
    assert len(said) == 3 + together
    assert "not mean" in said[-1] or "no significa" in said[-1]
    assert ("100" in said[-1]) == (found is not None or not together)
    assert ("this person" in said[-1] or "esta persona" in said[-1]) == together
    assert (" 3 " in said[-1]) == (together and found is not None)


def test_the_share_that_is_found():
    said = [Words("en").found(_weak(share)) for share in (0.004, 0.21)]
    assert "finds about 0.4 by" in said[0] and "finds about 21 by" in said[1]
    assert "unas 0,4 con" in Words("es").found(_weak(0.004))


def test_controls():
    said = {name: Words(name).controls_of(_model()) for name in words.LANGUAGES}
    assert "at least 4.3 more (lower" in said["en"] and "pixels alone" in said["en"]
    assert "al menos 4,3 más (límite" in said["es"] and "píxeles solos" in said["es"]
    failed = Controls(-0.4, "pixels", ("Because.",))
    assert Words("es").controls_of(_model(failed)) == spanish.TEXT["controls_failed"]
    assert "of a later version" in Words("en").controls_of(
        _model(Controls(1.0, "of a later version"))
    )


@pytest.mark.parametrize("p, expected", [(0.3, "30 in 100"), (0.301, "31 in 100"), (1.0, "100 in")])
def test_large_p_values_round_up(p, expected):
    finding = Finding("m", "no_evidence", "weak_p", {}, 0.4, p)
    assert expected in Words("en").sentences(finding)[1]


def test_a_model_that_cannot_tell_says_nothing_of_its_p_value():
    finding = Finding("m", "cannot_tell", "no_matched_non_members", {}, 0.9, 0.001, 99.0)
    said = Words("en").sentences(finding)
    assert said == [english.REASONS["no_matched_non_members"], english.TEXT["no_figures"]]


def test_unknown_reasons_and_missing_details_still_read():
    unknown = Finding("m", "cannot_tell", "from a later version")
    assert Words("es").sentences(unknown) == [spanish.REASONS["other"]]
    assert Words("en").error("too_large", {}).count("–") == 1
    assert Words("en").error("from a later version", {}) == english.ERRORS["unreadable"]


@pytest.mark.parametrize(
    "value, expected",
    [(12.3456, "12.3"), (1234.5, "1234"), (0.00212, "0.00212"), (1e-4, "0.0001"), (0, "0")],
)
def test_numbers(value, expected):
    assert Words("en").number(value) == expected
    assert Words("es").number(value) == expected.replace(".", ",")
    assert Words("en").number(float("nan")) == Words("en").number(None) == "not given"


def test_a_ratio_stands_with_its_bounds():
    assert Words("en").ratio_of(34.0, (12.0, 80.0)) == "34 (between 12 and 80)"
    assert Words("en").ratio_of(float("inf"), (1.0, 2.0)) == "not given"
