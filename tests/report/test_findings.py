"""Sentences say what the numbers say, and turn when the numbers do."""

import pytest

from mint_jax.report import findings


def _cell(accuracy, auc=None, width=0.02, n=2000, tpr=0.05):
    auc = accuracy if auc is None else auc
    return {
        "accuracy": accuracy,
        "accuracy_ci95": [accuracy - width, accuracy + width],
        "auc": auc,
        "auc_ci95": [auc - width, auc + width],
        "tpr_at_fpr": {"0.01": tpr, "0.001": None},
        "n_test": n,
        "seeds": 5,
    }


def _tables(*, matched=0.503, cross=0.96, random=0.97, pixels=0.94, neighbour=0.66, blind=0.5):
    """One Vanilla cell a protocol; `random` and `pixels` are the controls between databases."""

    def protocol(vanilla, random, pixels, **more):
        controls = {
            "random_network": {
                "table1": {"conv1": {"1000": _cell(random)}},
                "neighbour": {"1000": _cell(blind)},
            },
            "pixels": {"1000": _cell(pixels)},
        }
        return {"table1": {"conv1": {"1000": _cell(vanilla)}}, "controls": controls, **more}

    return {
        "protocols": {
            "matched": protocol(matched, 0.5, 0.5, neighbour={"1000": _cell(neighbour)}),
            "cross_database": protocol(cross, random, pixels),
        }
    }


def _all(tables):
    found = [*findings.headlines(tables), *findings.follows(tables)]
    return " ".join(f"{f.lead} {f.text}" for f in found)


@pytest.mark.parametrize(
    ("figure", "verdict"),
    [
        (0.503, "cannot tell members from non-members of the same database"),
        (0.55, "tells members from non-members of the same database, weakly"),
        (0.70, "tells members from non-members of the same database, moderately"),
        (0.90, "tells members from non-members of the same database, well"),
        (0.40, "reads below chance"),
    ],
)
def test_matched_vanilla(figure, verdict):
    lead = findings.headlines(_tables(matched=figure))[0].lead
    assert lead.startswith(f"The Vanilla auditor {verdict}")


def test_the_best_of_many_layers_is_held_to_more():
    """An interval that just excludes chance once in six layers is no finding."""
    tables = _tables(matched=0.522)
    assert "weakly" in findings.headlines(tables)[0].lead
    layers = {f"conv{i}": {"1000": _cell(0.5)} for i in range(2, 7)}
    tables["protocols"]["matched"]["table1"] |= layers
    assert "best of 6 may by accident" in findings.headlines(tables)[0].lead


def test_a_number_comes_with_interval_and_n():
    text = _all(_tables())
    for expected in (
        "accuracy .503 [.483, .523]",
        "accuracy .960 [.940, .980] on Conv #1 (n = 2,000; matched: .503 [.483, .523])",
        "seen no image at all, gives .970 [.950, .990]",
        "pixels alone give .940 [.920, .960]",
        "AUC .660 [.640, .680] on the matched split (n = 2,000) where a random network reads "
        ".500 [.480, .520]: the difference was put there by training",
    ):
        assert expected in text


@pytest.mark.parametrize(
    ("figures", "lead"),
    [
        ({}, "recognises the database, not membership"),
        ({"random": 0.5}, "recognises the database, not membership"),  # pixels suffice
        ({"random": 0.73, "pixels": 0.6}, "50% of the Vanilla auditor's lead over chance"),
        ({"random": 0.5, "pixels": 0.5}, "reads what the blind controls do not"),
        ({"cross": 0.51}, "does not even tell the databases apart"),
    ],
)
def test_cross_database_is_read_against_the_blind_controls(figures, lead):
    found = findings.headlines(_tables(**figures))[-1]
    assert lead in found.lead
    assert found.weight == "warning"


def test_without_a_matched_split_nobody_says_what_an_auditor_recognises():
    tables = _tables()
    tables["protocols"]["matched"] = None
    found = findings.headlines(tables)[-1]
    assert "cannot be told from the blind controls" in found.lead
    assert "matched: none known" in found.text


def test_cross_database_without_controls_says_nothing():
    tables = _tables()
    tables["protocols"]["cross_database"]["controls"] = {}
    found = findings.headlines(tables)[-1]
    assert "Nobody can say" in found.lead and "No blind control" in found.text


def test_fusion_speaks_for_the_auditors_with_banks():
    tables = _tables()
    matched = tables["protocols"]["matched"]
    matched["fusion"] = {"1000": _cell(0.72, tpr=0.08)}
    matched["controls"]["random_network"]["fusion"] = {"1000": _cell(0.49)}
    found = [f for f in findings.headlines(tables) if "AUC" in f.text and "random" in f.text]
    assert [f.lead for f in found] == [
        "The fusion auditor tells members from non-members of the same database, moderately."
    ]
    assert (
        "AUC .720 [.700, .740] on the matched split (n = 2,000) where a random network reads "
        ".490 [.470, .510]: the difference" in found[0].text
    )
    limits = " ".join(findings.limits(tables))
    assert "the fusion auditor finds a share of .080 of the members" in limits
    assert "neighbour" not in limits + _all(tables)


def test_neighbour_on_a_random_network_off_chance_is_a_warning():
    found = findings.headlines(_tables(blind=0.6))[1]
    assert found.weight == "warning" and "not membership alone" in found.text


def test_neighbour_without_random_network_is_a_warning():
    tables = _tables()
    tables["protocols"]["matched"]["controls"] = {}
    found = findings.headlines(tables)[1]
    assert found.weight == "warning" and "no random network" in found.text


def test_unknown_matched_split_is_said_first_with_its_reason():
    tables = _tables()
    tables["protocols"]["matched"] = None
    first, *_ = findings.headlines(tables)
    assert first.weight == "warning" and "no figure here measures membership" in first.lead
    assert "matched: none known" in _all(tables)
    tables["matched_reason"] = "the training list is secret."
    assert findings.headlines(tables)[0].text == "The training list is secret."


@pytest.mark.parametrize(("auc", "weight"), [(0.5, "result"), (0.8, "warning")])
def test_shuffled_labels(auc, weight):
    tables = _tables()
    shuffled = {"table1": {"conv1": {"1000": _cell(auc)}}, "neighbour": {"1000": _cell(auc)}}
    tables["protocols"]["matched"]["controls"]["shuffled_labels"] = shuffled
    (found,) = [f for f in findings.follows(tables) if "shuffled" in f.text]
    assert found.weight == weight


@pytest.mark.parametrize(
    "rate", [0.96, {"rate": 0.96, "rate_ci95": [0.94, 0.98], "n_test": 1000, "seeds": 5}]
)
def test_false_members(rate):
    tables = _tables()
    cross = tables["protocols"]["cross_database"]
    cross["false_member_rate"] = {"table1": {"conv1": {"1000": rate}}}
    (found,) = [f for f in findings.follows(tables) if "called members" in f.lead]
    assert ".960" in found.text
    assert ("[.940, .980] (n = 1,000)" in found.text) == isinstance(rate, dict)


def test_an_unsupported_tpr_is_explained():
    limits = " ".join(findings.limits(_tables()))
    assert "TPR at 0.1% FPR is not given: it takes 10 / FPR = 10,000 non-members" in limits
    assert "TPR at 1%" not in limits
    assert "the neighbour auditor finds a share of .050 of the members (n = 2,000)" in limits


def test_chance_is_not_absence():
    stronger = "a stronger auditor may find"
    assert stronger in " ".join(findings.limits(_tables()))
    assert stronger not in " ".join(findings.limits(_tables(matched=0.7)))
