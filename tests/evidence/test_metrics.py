"""Metrics against scikit-learn, their intervals against simulation."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as oracle

from mint_jax.evidence import metrics, resampling


def _binormal(seed, *, n=1200, distance=0.5, auditors=3, decimals=None):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([1, 0], n // 2))
    scores = rng.normal(size=(auditors, n)) + distance * labels
    return labels, scores if decimals is None else scores.round(decimals)


@pytest.mark.parametrize("decimals", [None, 1, 0])
def test_point_values_are_sklearns(decimals):
    labels, scores = _binormal(0, n=2400, decimals=decimals)
    cell = metrics.evaluate(labels, scores, threshold=0.2, resamples=10)

    def mean(measure):
        return np.mean([measure(row) for row in scores])

    def tpr(row):
        fpr, tpr, _ = oracle.roc_curve(labels, row, drop_intermediate=False)
        return tpr[fpr <= 0.01].max()

    assert cell["auc"] == pytest.approx(mean(lambda s: oracle.roc_auc_score(labels, s)))
    assert cell["accuracy"] == pytest.approx(
        mean(lambda s: oracle.accuracy_score(labels, s >= 0.2))
    )
    assert cell["balanced_accuracy"] == pytest.approx(
        mean(lambda s: oracle.balanced_accuracy_score(labels, s >= 0.2))
    )
    assert cell["auc"] == pytest.approx(
        np.mean([metrics.auc(row[labels == 1], row[labels == 0]) for row in scores])
    )
    assert cell["tpr_at_fpr"]["0.01"] == pytest.approx(mean(tpr))
    assert (cell["n_test"], cell["seeds"]) == (2400, 3)


@pytest.mark.parametrize("decimals", [None, 1])
def test_roc_is_sklearns(decimals):
    labels, scores = _binormal(1, decimals=decimals)
    fpr, tpr = metrics.roc(labels, scores[0])
    expected = oracle.roc_curve(labels, scores[0], drop_intermediate=False)
    np.testing.assert_allclose(fpr, expected[0])
    np.testing.assert_allclose(tpr, expected[1])


@pytest.mark.parametrize(
    ("non_members", "supported"),
    [(99, []), (999, ["0.1"]), (1000, ["0.1", "0.01"]), (10_000, ["0.1", "0.01", "0.001"])],
)
def test_tpr_needs_ten_false_positives(non_members, supported):
    labels = np.repeat([1, 0], [200, non_members])
    scores = np.random.default_rng(0).normal(size=labels.shape)
    cell = metrics.evaluate(labels, scores, resamples=20)
    for key in ("tpr_at_fpr", "tpr_at_fpr_ci95"):
        assert [f for f, value in cell[key].items() if value is not None] == supported


def test_weighted_measures_are_those_of_the_repeated_images():
    """A resample's figures equal scikit-learn's on images literally repeated."""
    labels, scores = _binormal(2, n=2400, auditors=1, decimals=2)
    identities = np.arange(2400) // 4
    weights = np.concatenate(list(resampling.image_weights(labels, identities, 5, 0)), axis=1)
    views = metrics._sorted_views(labels, scores)
    shares = metrics._shares(labels, scores, 0.2, None, [])
    found = metrics._means(shares, weights) | metrics._ranks(views, weights, [0.01])
    for i, column in enumerate(weights.T.astype(int)):
        y, s = np.repeat(labels, column), np.repeat(scores[0], column)
        fpr, tpr, _ = oracle.roc_curve(y, s, drop_intermediate=False)
        expected = {
            "auc": oracle.roc_auc_score(y, s),
            "accuracy": oracle.accuracy_score(y, s >= 0.2),
            "balanced_accuracy": oracle.balanced_accuracy_score(y, s >= 0.2),
            "tpr:0.01": tpr[fpr <= 0.01].max(),
        }
        for name, value in expected.items():
            assert found[name][i] == pytest.approx(value, abs=1e-5), name


def test_whole_people_are_drawn_within_their_class():
    labels = np.repeat([1, 0, 1, 0], [40, 60, 5, 5])
    identities = np.concatenate([np.arange(100) // 4, np.full(10, 99)])
    for weights in resampling.image_weights(labels, identities, 50, 0):
        for person in np.unique(identities):
            rows = weights[identities == person]
            assert (rows == rows[0]).all()
        assert (weights[:40].sum(axis=0) == 40).all()
        assert (weights[40:100].sum(axis=0) == 60).all()
        assert (weights[100:] == 1).all()


def _cover(repeats, grouped):
    """How often the interval holds the closed form of the binormal AUC and accuracy."""
    people, images, spread = 160, 5, 1.0
    labels = np.repeat([1, 0], people * images // 2)
    identities = np.repeat(np.arange(people), images)
    total = np.sqrt(1 + spread**2)
    truth = {
        "auc": stats.norm.cdf(1 / total / np.sqrt(2)),
        "accuracy": stats.norm.cdf(0.5 / total),
    }
    hits = dict.fromkeys(truth, 0)
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        scores = labels + rng.normal(size=labels.shape)
        scores += spread * rng.normal(size=people)[identities]
        cell = metrics.evaluate(
            labels, scores, identities if grouped else None, resamples=400, seed=seed
        )
        for name, value in truth.items():
            low, high = cell[f"{name}_ci95"]
            hits[name] += low <= value <= high
    return {name: count / repeats for name, count in hits.items()}


def test_intervals_cover_the_truth(full):
    repeats = 1000 if full else 200
    for share in _cover(repeats, grouped=True).values():
        assert 0.90 <= share <= 0.985
    for share in _cover(repeats, grouped=False).values():
        assert share < 0.85  # what images counted as independent would have claimed


def test_perfect_separation_keeps_an_interval():
    """Clopper-Pearson for 50 people all right, and for 25 disjoint pairs all right."""
    labels = np.repeat([1, 0], 100)
    cell = metrics.evaluate(labels, labels * 1.0, np.arange(200) // 4, resamples=50)
    frozen = metrics.evaluate(labels, labels * 1.0, np.arange(200) // 4, frozen=np.full(100, 0.5))
    for found, hits, trials in (
        (cell["accuracy_ci95"], 50, 50),
        (cell["balanced_accuracy_ci95"], 25, 25),
        (cell["auc_ci95"], 25, 25),
        (frozen["tpr_at_fpr_ci95"]["0.1"], 25, 25),
        (frozen["fpr_at_threshold_ci95"]["0.1"], 0, 25),
    ):
        expected = stats.binomtest(hits, trials).proportion_ci(0.95, method="exact")
        assert found == pytest.approx([expected.low, expected.high])


def test_false_member_rate():
    rng = np.random.default_rng(0)
    scores = rng.uniform(size=(2, 900))
    rate = metrics.false_member_rate(scores, np.arange(900) // 3, threshold=0.3)
    assert rate["rate"] == pytest.approx(np.mean(scores >= 0.3))
    low, high = rate["rate_ci95"]
    assert low < rate["rate"] < high
    assert (rate["n_test"], rate["seeds"]) == (900, 2)


def test_same_seed_same_interval():
    labels, scores = _binormal(3)
    first, second, other = (
        metrics.evaluate(labels, scores, resamples=50, seed=s) for s in (1, 1, 2)
    )
    assert first == second
    assert first["auc_ci95"] != other["auc_ci95"]


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([1, 0, 1], [[0.1, 0.2]], "do not belong"),
        ([1, 0], [[0.1, np.nan]], "1 scores are not finite"),
        ([1, 1], [[0.1, 0.2]], "labels must be"),
        ([1, 2], [[0.1, 0.2]], "labels must be"),
    ],
)
def test_bad_input_is_named(labels, scores, message):
    with pytest.raises(ValueError, match=message):
        metrics.evaluate(np.array(labels), np.array(scores))


def test_frozen_thresholds_are_measured_again_on_test_data():
    """Of a test set from which the false positives are missing, only the thresholds are wrong."""
    labels, scores = _binormal(3, n=2400, auditors=2)
    frozen = np.random.default_rng(4).normal(size=(2, 1000)) + 1  # from a harder population
    cell = metrics.evaluate(labels, scores, frozen=frozen, resamples=50)
    bars = np.sort(frozen, axis=1)[:, -10][:, None]  # the tenth largest of a thousand
    called = scores > bars
    assert cell["tpr_at_fpr"]["0.01"] == pytest.approx(called[:, labels == 1].mean())
    assert cell["fpr_at_threshold"]["0.01"] == pytest.approx(called[:, labels == 0].mean())
    low, high = cell["fpr_at_threshold_ci95"]["0.01"]
    assert low <= cell["fpr_at_threshold"]["0.01"] <= high < 0.01
    assert cell["tpr_at_fpr"]["0.001"] is None
    with pytest.raises(ValueError, match="do not fit 2 auditors"):
        metrics.evaluate(labels, scores, frozen=frozen[0])
    few = metrics.evaluate(labels, scores, frozen=frozen[:, :999], resamples=10)
    assert few["tpr_at_fpr"]["0.01"] is None and few["tpr_at_fpr"]["0.1"] is not None


def test_an_interval_over_models_covers_their_spread():
    """Models whose true AUCs differ: the interval is about the spread, not about the images."""
    rng, models = np.random.default_rng(0), []
    for distance in (0.2, 0.6, 1.0, 1.4):
        labels = np.repeat([1, 0], 1500)
        models.append((labels, rng.normal(size=3000) + distance * labels, np.arange(3000)))
    found = metrics.over_models(models, resamples=400)
    each = [oracle.roc_auc_score(y, s) for y, s, _ in models]
    assert found["auc"] == pytest.approx(np.mean(each))
    student = stats.t.interval(0.95, 3, np.mean(each), stats.sem(each))
    low, high = found["auc_ci95"]
    assert high - low == pytest.approx(min(student[1], 1) - student[0], rel=0.2)
    assert low == pytest.approx(student[0], abs=0.06)
    assert found["interval"] == "over 4 lab models" and found["tpr_at_fpr"] is not None
    with pytest.raises(ValueError, match="1 models"):
        metrics.over_models(models[:1])


def test_replicates_on_the_same_people_are_weighed_with_them():
    """Equal networks have the interval of one; networks that differ add their own spread."""
    labels, scores = _binormal(3, n=1000)
    people = np.arange(1000)
    one, same = (
        metrics.over_replicates(labels, np.tile(scores[:1], (n, 1)), people, resamples=500)
        for n in (1, 8)
    )
    assert same == one | {"auc_range": [one["auc"]] * 2}
    assert one["auc"] == pytest.approx(oracle.roc_auc_score(labels, scores[0]))
    assert one["auc_ci95"] == pytest.approx(
        metrics.evaluate(labels, scores[0], people, resamples=500)["auc_ci95"]
    )
    noise = np.random.default_rng(0).normal(size=(2, 1000))
    several = np.concatenate([noise, scores[:1] + 1e-6 * noise])
    found = metrics.over_replicates(labels, several, people, resamples=500)
    each = [oracle.roc_auc_score(labels, row) for row in several]
    assert found["auc"] == pytest.approx(np.mean(each))
    assert found["auc_range"] == pytest.approx([min(each), max(each)])
    low, high = found["auc_ci95"]
    between = np.std(each) / np.sqrt(4)  # two networks that know, two that do not
    assert (high - low) / 2 > 1.5 * between
