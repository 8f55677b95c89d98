"""Verdicts come with their reasons, the strongest control is marked, and gaps are explained."""

import numpy as np
import pytest

from mint_jax.evidence import metrics, operating
from mint_jax.report import evidence, figures, findings, grid, plots, words

LABELS = np.array([1, 0])


def _section(tables, protocol):
    (found,) = [s for s in evidence.sections(tables, {}) if s["name"] == f"evidence-{protocol}"]
    return found


def test_verdicts_are_the_headlines_with_their_reasons(tables):
    matched, cross, error = evidence.verdicts(tables)
    blocks = [tables["protocols"][p]["evidence"] for p in ("matched", "cross_database")]
    assert [matched.lead, cross.lead] == [block["headline"] for block in blocks]
    assert cross.lead == operating.CANNOT
    assert (matched.weight, cross.weight, error.weight) == ("result", "warning", "warning")
    assert "auditor: Fusion, model outcome" in matched.text and "given this model" in matched.text
    assert all(reason in cross.text for reason in blocks[1]["gate"]["reasons"])
    assert "label 1" in error.text


def test_an_audit_with_errors_is_no_result(tables):
    entry = {"code": "test_in_training", "severity": "error", "text": "Test images helped."}
    tables["protocols"]["matched"]["evidence"]["lint"].append(entry)
    matched, error, *_ = evidence.verdicts(tables)
    assert matched.weight == "warning" and error.text == "Test images helped."


def test_the_control_that_finds_most_is_the_strongest(tables):
    block = tables["protocols"]["cross_database"]["evidence"]
    marked = {row["name"]: (row["strongest"], row["closest"]) for row in evidence.controls(block)}
    assert marked.pop("pixels") == (True, True)
    assert set(marked.values()) == {(False, False)}


def test_controls_without_rates_are_compared_by_auc(tables):
    """Where a false-alarm rate has too few non-members."""
    block = tables["protocols"]["cross_database"]["evidence"]
    for i, row in enumerate(block["controls"]):
        row |= {"tpr": None, "fpr": None, "advantage": None, "advantage_lower95": None}
        row["auc"] = 0.5 + (i == 2) / 10
    assert [row["strongest"] for row in evidence.controls(block)] == [False, False, True, False]


def test_the_auditor_is_shown_at_the_operating_point_of_the_headline(tables):
    block = tables["protocols"]["matched"]["evidence"]
    found, point = evidence.chosen(block), block["operating_points"]["0.01"]
    assert [found[k] for k in ("tpr", "fpr_ci95")] == [point["tpr"], point["fpr_ci95"]]
    assert found["auc"] == block["splits"]["identity"]["auc"]
    block["operating_points"]["0.01"] = None
    assert evidence.chosen(block)["tpr"] is None


def test_a_missing_operating_point_says_why(tables):
    why = [row["why"] for row in _section(tables, "matched")["points"]]
    assert why[:2] == [None, None]
    assert why[2].startswith("It takes 10,000 non-members") and "1,000 and 1,000" in why[2]
    del tables["sets"]
    why = _section(tables, "matched")["points"][3]["why"]
    assert why.startswith("It takes 100,000 non-members") and why.endswith("there are fewer.")


def test_only_equal_access_stands_together(tables):
    access = _section(tables, "matched")["access"]
    assert list(access) == ["embedding", "head", "weights"]
    assert [row["name"] for row in access["embedding"]] == ["flip", "norm"]  # the better first


def test_the_choice_is_shown_with_what_it_was_made_from(tables):
    choice = _section(tables, "matched")["choice"]
    assert choice["ranked"][:2] == [
        ("Fusion, model outcome", 0.742),
        ("Neighbour, model outcome", 0.671),
    ]
    assert choice["auc"] == 0.742 and choice["cnn"] and choice["banks"]
    tables["protocols"]["matched"]["evidence"]["auditor"] |= {"kind": "vanilla", "layer": "conv1"}
    assert not _section(tables, "matched")["choice"]["banks"]


def test_curves_are_drawn_of_every_control_that_has_scores(made_up):
    tables, scores = made_up
    caption = figures.rivals(tables, scores, "matched").caption
    own = scores["matched/evidence/chosen"]
    auc = metrics.auc(*(own["scores"][own["labels"] == label] for label in (1, 0)))
    assert f"the auditor that decides {words.rate(auc)}; pixels" in caption
    assert "1,000 members and 1,000 non-members" in caption
    del scores["matched/evidence/pixels"]
    assert "pixels" not in figures.rivals(tables, scores, "matched").caption
    assert figures.rivals(tables, {}, "matched") is None


def test_only_tables_without_evidence_have_the_roc_of_their_auditors(made_up):
    tables, scores = made_up
    assert figures.roc(tables, scores) == []
    before = {key: found for key, found in scores.items() if not key.startswith("matched/evidence")}
    (matched,) = figures.roc(tables, before)
    assert matched.caption.startswith("Matched protocol, n = 2,000. AUC: Vanilla")
    cell = tables["protocols"]["matched"]["fusion"]["1000"]
    blind = tables["protocols"]["matched"]["controls"]["random_network"]["fusion"]["1000"]
    assert f"; Fusion {words.figure(cell, 'auc')}; " in matched.caption
    assert f"; Random network: Fusion {words.figure(blind, 'auc')}; " in matched.caption


def test_accuracy_over_sizes_has_the_auditors_with_banks_beside_vanilla_alone(tables):
    vanilla, _, cnn, _ = (figure.svg for figure in figures.sizes(tables))
    cell = tables["protocols"]["matched"]["fusion"]["1000"]
    assert f"; Fusion {words.rate(cell['accuracy'])};" in vanilla and "Fusion" not in cnn
    cell = tables["protocols"]["matched"]["table2"]["all_conv"]["1000"]
    assert f"; All conv layers {words.rate(cell['accuracy'])};" in cnn


@pytest.mark.parametrize("blind", [False, True])
def test_no_two_curves_of_a_plot_look_alike(blind):
    """As many as a page draws: six layers and two auditors with banks, or five controls."""
    styled = plots._styled([plots.Curve("", LABELS, LABELS, blind)] * (5 if blind else 8))
    looks = [(style["color"], style.get("linestyle")) for _, style in styled]
    assert len(set(looks)) == len(looks)


def test_tippett_counts_misleading_images(tables):
    ratios = {"members": [-1.0, 0.5, 0.5, 1.0], "non_members": [-1.0, -0.5, 0.0, 0.2]}
    tables["protocols"]["matched"]["evidence"]["likelihood"]["tippett"] = ratios
    caption = _section(tables, "matched")["tippett"].caption
    assert "25% of 4 images that were used read below 0" in caption
    assert "25% of 4 that were not read above it" in caption


def test_tippett_curves_are_the_shares_at_or_above():
    rng = np.random.default_rng(0)
    values, grid = rng.normal(size=50).round(1), np.linspace(-3, 3, 61).round(1)
    found = plots.at_or_above(values, grid)
    np.testing.assert_allclose(found, (values[:, None] >= grid).mean(axis=0))
    flat = plots.tippett(np.zeros(5), np.zeros(7), "Ratios that are all 1.")
    assert "nan" not in flat and "log10 likelihood ratio" in flat


def _judged(tables, decides):
    """The auditors with banks that have a sentence, where `decides` has the verdict."""
    tables["protocols"]["matched"]["evidence"]["auditor"]["kind"] = decides
    leads = [f.lead for f in findings.headlines(tables)]
    return [name for name in grid.BANKS for lead in leads if f"The {name} auditor" in lead]


def test_one_auditor_with_banks_is_judged_and_not_twice(tables):
    assert _judged(tables, "fusion") == []
    assert _judged(tables, "vanilla") == _judged(tables, "neighbour") == ["fusion"]
    assert "which may end without a verdict" in " ".join(findings.limits(tables))


def test_before_fusion_the_neighbours_are_judged(before_fusion):
    assert _section(before_fusion, "matched")["choice"]["name"] == "Neighbour, model outcome"
    assert _judged(before_fusion, "neighbour") == []
    assert _judged(before_fusion, "vanilla") == ["neighbour"]


@pytest.mark.parametrize(
    ("bound", "low", "high"),
    [(0.0319, ".031", ".032"), (-0.0971, "-.098", "-.097"), (0.2, ".200", ".200")],
)
def test_bounds_are_rounded_to_their_own_side(bound, low, high):
    assert (words.at_least(bound), words.at_most(bound)) == (low, high)


def test_names():
    assert words.auditor("vanilla", "conv1") == "Vanilla, Conv #1"
    assert words.auditor("neighbour") == "Neighbour"
    assert words.auditor("fusion", "outcome") == "Fusion, model outcome"
    assert words.rate(-0.012) == "-.012" and words.rate(1.0) == "1.000"
    assert words.level("0.0001") == "0.01%"
