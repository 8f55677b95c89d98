"""Claims out of scores: counted by hand, and bounded by scipy."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logit

from mint_jax.evidence import operating
from mint_jax.evidence.claims import Claims, Control, Scored

SEED = 3


def _scored(first, people, photos, offset, seed):
    identities = first + np.repeat(np.arange(people), photos)
    scores = expit(np.random.default_rng(seed).normal(size=len(identities)) + offset)
    return Scored(identities, scores)


def _parts(calibration=200):
    return {
        "members": {
            "calibration": _scored(0, 100, 2, 2.0, 1),
            "test": _scored(1000, 150, 3, 2.0, 2),
        },
        "non_members": {
            "threshold": _scored(2000, 1000, 1, 0.0, 3),
            "calibration": _scored(4000, calibration, 2, 0.0, 4),
            "test": _scored(6000, 500, 2, 0.0, 5),
        },
        "unused": {
            "calibration": _scored(0, 130, 2, 1.0, 6),
            "test": _scored(1000, 140, 3, 1.0, 7),
        },
    }


def _control(replicates, members=450, others=1000):
    rng = np.random.default_rng(8)
    called = tuple(rng.random((replicates, n)) < 0.02 for n in (members, others))
    return Control("pixels", "pixels alone", replicates, called)


@pytest.fixture(scope="module")
def claims():
    return Claims(_parts(), [_control(1)], True, SEED)


def _exact(hits, n):
    return pytest.approx(stats.binomtest(hits, n).proportion_ci(0.95, "exact"))


def _least(level, n):
    """The ranks that reject: generalised Simes with k = n / 2, by binomial coefficients."""
    k = n // 2
    shares = (math.comb(n + 1 - rank, k) / math.comb(n, k) for rank in range(1, n + 1))
    return sum(1 - (0.05 * share) ** (1 / k) <= level for share in shares)


def test_people_are_counted_by_rank(claims):
    """Two photos a person, as half of the calibration people have no more."""
    parts, found = claims.parts, claims.people
    assert (found["k"], found["persons_calibration"], found["persons_test"]) == (2, 200, 150)
    assert found["resolution"] == 1 / 201
    means = {}
    for name, part in (
        ("calibration", parts["non_members"]["calibration"]),
        ("power", parts["members"]["test"]),
        ("false_alarms", parts["non_members"]["test"]),
    ):
        rows = np.random.default_rng(SEED).permutation(len(part.scores))
        means[name] = [
            logit(part.scores[[r for r in rows if part.identities[r] == person][:2]]).mean()
            for person in np.unique(part.identities)
        ]
    calibration = np.array(means.pop("calibration"))
    for side, scores in means.items():
        ranks = np.array([1 + np.sum(calibration >= score) for score in scores])
        for level in ("0.05", "0.01"):
            rate, hits = found[side][level], int(np.sum(ranks <= float(level) * 201 + 1e-9))
            assert (rate["rate"], rate["n"]) == (hits / len(scores), len(scores))
            assert rate["rate_ci95"] == _exact(hits, len(scores))
        rate = found["conditional"]["0.05"][side]
        hits = int(np.sum(ranks <= _least(0.05, 200)))
        assert (rate["rate"], rate["n"]) == (hits / len(scores), len(scores))
        assert rate["rate_ci95"] == _exact(hits, len(scores))
    assert found["power"]["0.05"]["rate"] > found["conditional"]["0.05"]["power"]["rate"] > 0.3
    assert found["conditional"]["0.01"] == {"power": None, "false_alarms": None}  # it takes 598


@pytest.mark.parametrize(
    ("n", "plain", "conditional"),
    [(18, False, False), (19, True, False), (117, True, False), (118, True, True)],
)
def test_a_level_that_calibration_cannot_reach_has_no_rate(n, plain, conditional):
    found = Claims(_parts(n), [], True, SEED).people
    assert (found["power"]["0.05"] is not None) == plain
    assert (found["conditional"]["0.05"]["false_alarms"] is not None) == conditional


def test_images_are_ranked_one_a_person(claims):
    found, unused = claims.h0_image, claims.parts["unused"]
    assert found["n_calibration"] == 130
    each = [
        part.scores[operating.one_each(part.identities, SEED)]
        for part in (unused["calibration"], claims.parts["members"]["test"], unused["test"])
    ]
    for side, scores in zip(("power", "false_alarms"), each[1:]):
        ranks = np.array([1 + np.sum(each[0] >= score) for score in scores])
        assert found[side]["0.01"]["rate"] == np.mean(ranks == 1)  # 2 / 131 is above 1%
        assert found[side]["0.05"]["n"] == len(scores)
        hits = int(np.sum(ranks <= _least(0.05, 130)))
        assert found["conditional"]["0.05"][side]["rate"] == hits / len(scores)


def test_without_unused_images_nothing_is_said_of_them():
    parts = {side: part for side, part in _parts().items() if side != "unused"}
    assert Claims(parts, [], True, SEED).h0_image is None


def test_a_control_has_its_n_and_its_intervals(claims):
    (row,), called = claims.controls, claims.rivals[0].called
    assert (row["n_members"], row["n_non_members"]) == (450, 1000)
    for rate, side, part in zip(("tpr", "fpr"), called, ("members", "non_members")):
        assert row[rate] == side.mean()
        people = claims.parts[part]["test"].identities
        each = side[0][operating.one_each(people)]
        assert row[f"{rate}_ci95"] == _exact(int(each.sum()), len(each))
    own = claims.parts["members"]["test"].scores > claims.thresholds["0.01"]
    assert row["advantage"] == pytest.approx(own.mean() - called[0].mean())
    assert claims.gate["passed"] and claims.gate["against"] == "pixels"
    assert claims.headline.startswith("At a false-alarm rate of 1%")


def test_replicates_are_weighed_together():
    (row,) = Claims(_parts(), [_control(20)], True, SEED).controls
    low, high = row["tpr_ci95"]
    assert row["replicates"] == 20 and low < row["tpr"] < high


def test_without_an_operating_point_a_control_has_no_rates():
    """The threshold part suffices and the test part does not, and the other way round."""
    for name, people, sides in (("threshold", 999, (450, 1000)), ("test", 400, (450, 800))):
        parts = _parts()
        photos = 1 if name == "threshold" else 2
        parts["non_members"][name] = _scored(9000, people, photos, 0.0, 9)
        found = Claims(parts, [_control(1, *sides)], True, SEED)
        (row,) = found.controls
        assert row["n_non_members"] == sides[1]
        for key in ("tpr", "tpr_ci95", "fpr", "fpr_ci95", "advantage", "advantage_lower95"):
            assert row[key] is None
        assert found.headline == operating.CANNOT and not found.gate["passed"]


def test_calls_of_other_images_are_no_control():
    with pytest.raises(ValueError, match="pixels has not called as many images"):
        _ = Claims(_parts(), [_control(1, members=449)], True, SEED).controls
