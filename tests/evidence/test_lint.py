"""Every rule for audits is broken once, and a clean audit breaks none."""

import numpy as np
import pytest

from mint_jax.errors import InputError
from mint_jax.evidence import operating
from mint_jax.evidence.lint import lint

PARTS = ("bank", "train", "validation", "threshold", "calibration", "test")
N = 1000


def _description():
    """Two populations of disjoint people, two images each; members score more."""
    rng = np.random.default_rng(0)
    parts, scores = {}, {}
    for p, population in enumerate(("members", "non_members", "unused")):
        parts[population], scores[population] = {}, {}
        for i, part in enumerate(PARTS):
            if population == "unused" and part not in ("calibration", "test"):
                continue
            keys = [f"{population}/{part}/{row}" for row in range(N)]
            own = "members" if population == "unused" else population
            parts[population][part] = {
                "keys": keys,
                "identities": [f"{own}/{part}/{row // 2}" for row in range(N)],
                "sha256": [f"hash of {key}" for key in keys],
                "groups": [f"{p}{i}-{row}" for row in range(N)],
            }
            scores[population][part] = rng.normal(size=N) + (population == "members")
    frozen = operating.freeze(scores["non_members"]["threshold"], 0.01)
    return {
        "parts": parts,
        "labels": {"members": 1, "non_members": 0, "unused": 0},
        "matched": True,
        "scores": scores,
        "thresholds": {"0.01": frozen, "0.001": None},
        "claimed_fprs": [0.1, 0.01],
        "audited_sha256": "aa",
        "screen_sha256": "bb",
        "preparation": {
            "a": {"alignment": "five points", "encoding": "JPEG 90"},
            "b": {"alignment": "five points", "encoding": "JPEG 90"},
        },
    }


@pytest.fixture
def audit():
    return _description()


def _only(audit):
    (finding,) = lint(audit)
    return finding


def test_a_clean_audit_breaks_no_rule(audit):
    assert lint(audit) == []
    assert lint({"parts": audit["parts"]}) == []


def _share(audit, column, a, b, count=3):
    """The first entries of a column become the same in two parts."""
    first, second = (audit["parts"][population][part][column] for population, part in (a, b))
    second[:count] = first[:count]


TEST, OTHER = ("members", "test"), ("non_members", "test")
OVERLAPS = [
    ("keys", TEST, ("members", "train"), "test_in_training", "error"),
    ("sha256", TEST, ("members", "bank"), "test_in_training", "error"),
    ("sha256", OTHER, ("members", "validation"), "test_in_training", "error"),
    ("groups", TEST, ("members", "train"), "test_in_training", "error"),
    ("keys", OTHER, ("non_members", "threshold"), "threshold_on_test", "error"),
    ("groups", OTHER, ("non_members", "threshold"), "threshold_on_test", "error"),
    ("identities", OTHER, ("non_members", "threshold"), "threshold_on_test", "error"),
    ("keys", TEST, OTHER, "image_on_both_sides", "error"),
    ("groups", TEST, ("unused", "test"), "image_on_both_sides", "error"),
    ("keys", TEST, ("members", "calibration"), "shared_images", "error"),
    ("groups", TEST, ("members", "calibration"), "shared_images", "warning"),
    ("identities", TEST, ("non_members", "train"), "identity_on_both_sides", "error"),
    ("identities", TEST, OTHER, "identity_on_both_sides", "error"),
    ("identities", ("members", "bank"), TEST, "identity_in_bank", "error"),
    ("identities", ("members", "bank"), ("unused", "test"), "identity_in_bank", "error"),
    ("identities", ("members", "train"), TEST, "identity_in_parts", "warning"),
]


@pytest.mark.parametrize(("column", "a", "b", "code", "severity"), OVERLAPS)
def test_what_two_parts_share(audit, column, a, b, code, severity):
    _share(audit, column, a, b)
    found = [f for f in lint(audit) if f.code == code]
    assert len(found) == 1 and found[0].severity == severity
    count = {"identities": 2}.get(column, 3)  # three images are of two people
    for population, part in (a, b):
        assert f"{population.replace('_', '-')} ({part})" in found[0].text
    assert f"({count})" in found[0].text


def test_many_pairs_make_one_finding(audit):
    for part in PARTS[1:]:
        _share(audit, "keys", ("members", "bank"), ("members", part))
    found = [f for f in lint(audit) if f.code == "shared_images"]
    assert len(found) == 1 and "and 8 further pairs" in found[0].text  # 15 - 4 - 3
    assert [f.severity for f in lint(audit)] == ["error", "error", "error"]


def test_labels_must_say_that_one_is_a_member(audit):
    audit["labels"] = {"members": 0, "non_members": 1}
    assert {f.code for f in lint(audit)} == {"label_polarity"} and len(lint(audit)) == 2


def test_scores_turned_round(audit):
    audit["scores"]["members"]["test"] = -audit["scores"]["members"]["test"]
    assert (_only(audit).code, _only(audit).severity) == ("label_polarity", "error")


def test_scores_that_say_nothing_are_not_turned_round(audit):
    audit["scores"]["members"]["test"] = audit["scores"]["non_members"]["test"] - 0.02
    assert lint(audit) == []


@pytest.mark.parametrize("change", [0.1, -0.1, None])
def test_a_threshold_that_the_threshold_part_does_not_give(audit, change):
    """Also one that is recorded at a rate that the part cannot bear."""
    if change is None:
        audit["thresholds"]["0.001"] = 3.0
    else:
        audit["thresholds"]["0.01"] += change
    assert _only(audit).code == "threshold_not_frozen"


def test_a_threshold_of_the_test_part(audit):
    audit["thresholds"]["0.01"] = operating.freeze(audit["scores"]["non_members"]["test"], 0.01)
    assert _only(audit).code == "threshold_not_frozen"


def test_a_rate_takes_ten_false_alarms(audit):
    audit["claimed_fprs"] = [0.001]
    found = lint(audit)
    assert [f.code for f in found] == ["too_few_images"] * 3
    assert all("10,000 non-members" in f.text and "1,000." in f.text for f in found)
    for column in audit["parts"]["non_members"]["calibration"].values():
        del column[999:]
    audit["claimed_fprs"] = [0.01]
    assert "calibration" in _only(audit).text


def test_no_non_members_of_the_same_collection(audit):
    audit["matched"] = False
    assert (_only(audit).code, _only(audit).severity) == ("no_matched_non_members", "warning")


def test_screened_by_the_audited_network(audit):
    audit["screen_sha256"] = "aa"
    assert (_only(audit).code, _only(audit).severity) == ("screened_by_audited", "error")
    audit["screen_sha256"] = audit["audited_sha256"] = None
    assert lint(audit) == []


def test_databases_that_were_prepared_differently(audit):
    audit["preparation"]["b"]["encoding"] = "PNG"
    assert _only(audit).severity == "warning" and "a: JPEG 90; b: PNG" in _only(audit).text
    del audit["preparation"]["b"]["encoding"]
    assert "b: unknown" in _only(audit).text


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"parts": {"members": 3}},
        {"parts": {"members": {"test": {"keys": ["a"]}}}},
        {"parts": {"members": {"test": {"keys": ["a", "b"], "identities": [1]}}}},
    ],
)
def test_what_is_no_description_is_an_error(wrong):
    with pytest.raises(InputError, match="description of an audit"):
        lint(wrong)
