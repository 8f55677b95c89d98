"""Operating points: thresholds frozen beforehand, error rates measured again, and the headline.

Bounds of rates are Clopper and Pearson's (Biometrika 26, 1934) over one image a person, because
photos of one person are not independent. The gate over all controls is an intersection-union test
(Berger, Technometrics 24, 1982): each must be beaten at level 5%, which needs no correction.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.stats import beta

from mint_jax.evidence.resampling import image_weights

MIN_FALSE_ALARMS = 10  # a rate below 10 / n non-members rests on a handful of images
CANNOT = "Membership cannot be determined."
_ALPHA = 0.05


def supported(non_members: int, fpr: float) -> bool:
    """Whether so many non-members suffice for a false-alarm rate: 10 / FPR."""
    return non_members >= MIN_FALSE_ALARMS / fpr - 1e-9


def freeze(scores: np.ndarray, fpr: float) -> float | None:
    """The threshold above which, strictly, an image is called a member.

    It is the k-th largest of n scores, k = floor(fpr (n + 1)), so that a further non-member is
    called with probability fpr at most: the deterministic conformal test.

    Args:
      scores: (n,) of non-members who serve nothing else.
      fpr: false-alarm rate.

    Returns:
      The threshold; None where n < 10 / fpr.
    """
    if not supported(len(scores), fpr):
        return None
    k = math.floor(fpr * (len(scores) + 1) + 1e-9)
    return float(np.partition(np.asarray(scores, float), -k)[-k])


def clopper_pearson(hits: int, trials: int, level: float = 0.95) -> list[float]:
    """The exact two-sided interval of a rate; its bounds at 90% are one-sided ones at 95%."""
    tail = (1 - level) / 2
    low = beta.ppf(tail, hits, trials - hits + 1) if hits else 0.0
    high = beta.ppf(1 - tail, hits + 1, trials - hits) if hits < trials else 1.0
    return [float(low), float(high)]


def one_each(identities: np.ndarray, seed: int = 0) -> np.ndarray:
    """One row of each person, at random: (p,) indices."""
    order = np.random.default_rng(seed).permutation(len(identities))
    return order[np.unique(np.asarray(identities)[order], return_index=True)[1]]


def rate_interval(
    called: np.ndarray, identities: np.ndarray, seed: int = 0, level: float = 0.95
) -> list[float]:
    """The exact interval of how often images (n,) are called, over one image a person."""
    each = np.asarray(called)[one_each(identities, seed)]
    return clopper_pearson(int(each.sum()), len(each), level)


def measure(
    labels: np.ndarray,
    scores: np.ndarray,
    identities: np.ndarray,
    frozen: np.ndarray,
    fpr: float,
    seed: int = 0,
) -> dict | None:
    """An operating point: threshold out of `frozen`, both rates out of test data.

    Args:
      labels: (n,) 1 = member, of the test part.
      scores: (n,).
      identities: (n,).
      frozen: (m,) scores of the threshold part.
      fpr: false-alarm rate that the threshold is made for.
      seed: of the draw of one image a person.

    Returns:
      {"threshold", and for "fpr" and "tpr": the rate over all images, `_ci95` over one image a
      person, "fpr_upper95" and "tpr_lower95", one-sided, "n_members", "n_non_members",
      "people_members", "people_non_members"}; None where the threshold part or the test part has
      fewer than 10 / fpr non-members.
    """
    labels, threshold = np.asarray(labels), freeze(frozen, fpr)
    if threshold is None or not supported(int(np.sum(labels == 0)), fpr):
        return None
    called, found = np.asarray(scores) > threshold, {"threshold": threshold}
    for label, rate, side in ((0, "fpr", "non_members"), (1, "tpr", "members")):
        own, people = called[labels == label], np.asarray(identities)[labels == label]
        found |= {
            rate: float(own.mean()),
            f"{rate}_ci95": rate_interval(own, people, seed),
            f"n_{side}": len(own),
            f"people_{side}": len(np.unique(people)),
        }
        low, high = rate_interval(own, people, seed, level=1 - 2 * _ALPHA)
        found |= {"fpr_upper95": high} if label == 0 else {"tpr_lower95": low}
    return found


def paired_advantage(
    called: np.ndarray,
    control: np.ndarray,
    identities: np.ndarray,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, float]:
    """How much more of the same members an auditor finds than a control does.

    Args:
      called: (n,) whether the auditor called each member.
      control: (n,) the same of the control; shares where it has several replicates.
      identities: (n,).
      resamples, seed: of the bootstrap over people.

    Returns:
      {"advantage": difference of the TPRs, "advantage_lower95": its one-sided lower bound, the 5%
      quantile of the paired bootstrap}. Where no resample differs, a share of 0.05 ** (1 / people)
      of all people has this gain at least, and the bound counts the others as -1.
    """
    gain = np.asarray(called, float) - np.asarray(control, float)
    blocks = image_weights(np.ones(len(gain), int), identities, resamples, seed)
    drawn = np.concatenate([gain @ weights / weights.sum(axis=0) for weights in blocks])
    advantage, lower = float(gain.mean()), float(np.quantile(drawn, _ALPHA))
    if np.ptp(drawn) < 1e-9:
        share = _ALPHA ** (1 / len(np.unique(identities)))
        lower = share * advantage - (1 - share)
    return {"advantage": advantage, "advantage_lower95": min(lower, advantage)}


def gate(point: Mapping | None, controls: Sequence[Mapping], matched: bool, fpr: float) -> dict:
    """Whether an auditor finds what no explanation without membership finds.

    Args:
      point: of `measure`, of the auditor.
      controls: {"name", "title", "tpr", "advantage_lower95"} of each, the last two None where they
        could not be measured.
      matched: whether the non-members are of the members' own collection.
      fpr: false-alarm rate of all of them.

    Returns:
      {"passed", "smallest_advantage", "against": name of that control, "reasons": sentences why it
      did not pass}.
    """
    reasons = []
    if not matched:
        reasons.append(
            "No non-members of the members' own collection stand on the other side, so nobody can "
            "tell membership from the collection."
        )
    if point is None:
        reasons.append(
            f"A false-alarm rate of {100 * fpr:g}% takes {MIN_FALSE_ALARMS / fpr:,.0f} non-members "
            "in the threshold part and as many in the test part; there are fewer."
        )
    if not controls:
        reasons.append("No control was read beside the auditor.")
    known = [c for c in controls if c["advantage_lower95"] is not None]
    worst = min(known, key=lambda c: c["advantage_lower95"], default=None)
    for control in controls:
        lower = control["advantage_lower95"]
        if lower is None and point is not None:
            reasons.append(f"Nothing was measured of a control: {control['title']}.")
        elif lower is not None and lower <= 0:
            reasons.append(
                f"It is not shown to find more than {control['title']}: the lower bound of its "
                f"advantage is {_per_hundred(lower, math.floor)} points."
            )
    return {
        "passed": not reasons,
        "smallest_advantage": worst and worst["advantage_lower95"],
        "against": worst and worst["name"],
        "reasons": reasons,
    }


def headline(point: Mapping | None, controls: Sequence[Mapping], found: Mapping, fpr: float) -> str:
    """The one sentence of an audit; `found` is what `gate` returned."""
    if not found["passed"]:
        return CANNOT
    strongest = max(c["tpr"] for c in controls)
    return (
        f"At a false-alarm rate of {100 * fpr:g}% (upper 95% bound on fresh non-members of the "
        f"same collection: {_per_hundred(point['fpr_upper95'], math.ceil)}%) this audit finds "
        f"{_per_hundred(point['tpr'])}% of the images that were used (lower bound "
        f"{_per_hundred(point['tpr_lower95'], math.floor)}%). The strongest explanation without "
        f"membership finds {_per_hundred(strongest)}%; the smallest paired advantage over any "
        f"control is at least {_per_hundred(found['smallest_advantage'], math.floor)} points."
    )


def _per_hundred(share: float, rounded: Callable[[float], int] = round) -> str:
    """0.0812 as "8.1"; a bound is rounded to its own side, so that it stays a bound."""
    return f"{rounded(round(1000 * share, 6)) / 10:g}"
