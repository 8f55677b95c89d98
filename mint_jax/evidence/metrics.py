"""Accuracy, AUC and TPR at a low FPR, each with an interval; member is the positive."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy import stats

from mint_jax.evidence import operating, replicates
from mint_jax.evidence.resampling import image_weights

FPRS = (0.1, 0.01, 0.001, 0.0001)
GIVEN = "given this model"
_LEVEL = 0.95


def evaluate(
    labels: np.ndarray,
    scores: np.ndarray,
    identities: np.ndarray | None = None,
    *,
    frozen: np.ndarray | None = None,
    threshold: float = 0.5,
    resamples: int = 1000,
    seed: int = 0,
) -> dict:
    """Measures the auditors of one cell of a table on one test set.

    Figures are means over the auditors. Intervals are percentiles of an identity-clustered
    bootstrap of the test images, the auditors held fixed ("given this model"). Where every
    resample agrees (all right or all wrong) the bound is the exact binomial one for as many
    trials as there are people (accuracy; of the class for a TPR or FPR) or disjoint pairs of a
    member and a non-member (AUC, balanced accuracy).

    Args:
      labels: (n,) 1 = member, 0 = non-member.
      scores: (S, n), or (n,) for one auditor; larger = rather a member.
      identities: (n,) whose image it is; None where every image is another person's.
      frozen: (S, m) or (m,) scores of non-members who freeze the thresholds, see `operating`;
        TPR and FPR are then both measured on the test images. Without them `tpr_at_fpr` is the
        largest TPR whose FPR on the test images does not exceed the target.
      threshold: a score at or above it is called member, for the accuracies.
      resamples: number of bootstrap resamples.
      seed: of the bootstrap.

    Returns:
      CELL of tables.json: {"accuracy", "balanced_accuracy", "auc", each with `_ci95`: [lo, hi],
      "tpr_at_fpr": {"0.1", "0.01", "0.001", "0.0001"}, "tpr_at_fpr_ci95", with `frozen`
      "fpr_at_threshold" and its `_ci95` of the same form, "n_test", "seeds": S, "interval"}. Rates
      at an FPR are None where the test or the frozen set has fewer than 10 / FPR non-members.

    Raises:
      ValueError: shapes that do not fit, scores that are not finite, or a class without
        images.
    """
    labels, scores, identities = _checked(labels, scores, identities)
    held = [np.sum(labels == 0)]
    if frozen is not None:
        frozen = np.atleast_2d(np.asarray(frozen, float))
        if len(frozen) != len(scores) or not np.isfinite(frozen).all():
            raise ValueError(f"{frozen.shape} frozen scores do not fit {len(scores)} auditors")
        held.append(frozen.shape[1])
    supported = [f for f in FPRS if operating.supported(min(held), f)]
    shares = _shares(labels, scores, threshold, frozen, supported)
    order = _sorted_views(labels, scores)
    ranked = supported if frozen is None else []

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        return _means(shares, weights) | _ranks(order, weights, ranked)

    once = np.ones((len(labels), 1))  # in float64; resamples, of which there are many, in float32
    point = {name: float(x[0]) for name, x in measure(once).items()}
    drawn = [measure(block) for block in image_weights(labels, identities, resamples, seed)]
    drawn = {name: np.concatenate([block[name] for block in drawn]) for name in point}
    trials = _independent_trials(labels, identities)
    intervals = {name: _interval(drawn[name], trials[name.split(":")[0]]) for name in point}
    cell = {}
    for name in ("accuracy", "balanced_accuracy", "auc"):
        cell |= {name: point[name], f"{name}_ci95": intervals[name]}
    rates = {"tpr_at_fpr": "tpr"} | ({} if frozen is None else {"fpr_at_threshold": "fpr"})
    for name, rate in rates.items():
        cell[name] = {str(f): point.get(f"{rate}:{f}") for f in FPRS}
        cell[f"{name}_ci95"] = {str(f): intervals.get(f"{rate}:{f}") for f in FPRS}
    return cell | {"n_test": len(labels), "seeds": len(scores), "interval": GIVEN}


def auc(members: np.ndarray, others: np.ndarray) -> float:
    """The chance that a member (a,) scores more than a non-member (b,); ties count half."""
    others = np.sort(others)
    below, upto = (np.searchsorted(others, members, side=side) for side in ("left", "right"))
    return float((below + upto).mean() / (2 * len(others)))


def over_models(
    models: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    *,
    fpr: float = 0.01,
    resamples: int = 1000,
    seed: int = 0,
) -> dict:
    """AUC and TPR over lab models: models are resampled, then the people of each.

    Auditor seeds on one model are no replicates: another training of the audited model would
    leak otherwise, and this spread is what the interval covers. A bootstrap of N models is too
    short; its deviations are multiplied by sqrt(N / (N - 1)) t / z, which makes it Student's
    interval where people add no spread (Hesterberg, "What Teachers Should Know About the
    Bootstrap", The American Statistician 69, 2015).

    Args:
      models: (labels (n,), scores (n,), identities (n,)) of each model's own test set.
      fpr: the TPR is at this FPR.
      resamples, seed: of the bootstrap.

    Returns:
      {"auc", "auc_ci95", "tpr_at_fpr", "tpr_at_fpr_ci95", "n_test", "models", "interval"}; the TPR
      is None where a model has fewer than 10 / fpr non-members.

    Raises:
      ValueError: fewer than 2 models.
    """
    if len(models) < 2:
        raise ValueError(f"{len(models)} models have no spread; at least 2 are needed")
    rows, point = [], []
    able = all(operating.supported(int(np.sum(m[0] == 0)), fpr) for m in models)
    for i, (labels, scores, identities) in enumerate(models):
        labels, scores, identities = _checked(labels, scores, identities)
        order, fprs = _sorted_views(labels, scores), [fpr] if able else []
        once = _ranks(order, np.ones((len(labels), 1)), fprs)
        blocks = image_weights(labels, identities, resamples, seed + i)
        drawn = [_ranks(order, weights, fprs) for weights in blocks]
        point.append({name: float(x[0]) for name, x in once.items()})
        rows.append({name: np.concatenate([d[name] for d in drawn]) for name in once})
    rng = np.random.default_rng((seed, len(models)))  # no stream of the people's draws
    picked = rng.integers(len(models), size=(len(models), resamples))
    columns = rng.integers(resamples, size=picked.shape)  # a model drawn twice has other people
    found, n, tail = {}, len(models), (1 + _LEVEL) / 2
    widened = np.sqrt(n / (n - 1)) * stats.t.ppf(tail, n - 1) / stats.norm.ppf(tail)
    for key, name in (("auc", "auc"), ("tpr_at_fpr", f"tpr:{fpr}")):
        if name not in point[0]:
            found |= {key: None, f"{key}_ci95": None}
            continue
        every = np.stack([row[name] for row in rows])  # (models, resamples)
        mean = float(np.mean([p[name] for p in point]))
        low, high = _interval(mean + widened * (every[picked, columns].mean(axis=0) - mean))
        found |= {key: mean, f"{key}_ci95": [max(low, 0.0), min(high, 1.0)]}
    return found | {
        "n_test": sum(len(m[0]) for m in models),
        "models": len(models),
        "interval": f"over {len(models)} lab models",
    }


def over_replicates(
    labels: np.ndarray,
    scores: np.ndarray,
    identities: np.ndarray,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> dict:
    """The AUC of a control in replicates, all of which read the same test images.

    Args:
      labels: (n,) 1 = member.
      scores: (S, n) of each replicate.
      identities: (n,).
      resamples, seed: of the bootstrap.

    Returns:
      {"auc": mean, "auc_ci95": over replicates and people, see `replicates`; over people where S is
      1, "auc_range": lowest and highest, None where S is 1}.

    Raises:
      ValueError: as `evaluate`.
    """
    labels, scores, identities = _checked(labels, scores, identities)
    each = [auc(*pair) for pair in zip(scores[:, labels == 1], scores[:, labels == 0])]
    order = _sorted_views(labels, scores)
    drawn = [
        np.stack([_ranks([view], weights, ())["auc"] for view in order])
        for weights in image_weights(labels, identities, resamples, seed)
    ]
    means = replicates.means(np.concatenate(drawn, axis=1), seed)
    return {
        "auc": float(np.mean(each)),
        "auc_ci95": _interval(means, _independent_trials(labels, identities)["auc"]),
        "auc_range": [min(each), max(each)] if len(each) > 1 else None,
    }


def false_member_rate(
    scores: np.ndarray,
    identities: np.ndarray | None = None,
    *,
    threshold: float = 0.5,
    resamples: int = 1000,
    seed: int = 0,
) -> dict:
    """The share of true non-members that auditors call members, with its interval.

    Args:
      scores: (S, n) or (n,) of images that are all non-members.
      identities, threshold, resamples, seed: as in `evaluate`.

    Returns:
      {"rate", "rate_ci95": [lo, hi], "n_test", "seeds": S}.

    Raises:
      ValueError: shapes that do not fit, or scores that are not finite.
    """
    scores = np.atleast_2d(scores)
    labels = np.zeros(scores.shape[1], int)
    labels, scores, identities = _checked(labels, scores, identities, classes=1)
    called = np.mean(scores >= threshold, axis=0)
    blocks = image_weights(labels, identities, resamples, seed)
    drawn = np.concatenate([called @ weights / weights.sum(axis=0) for weights in blocks])
    return {
        "rate": float(called.mean()),
        "rate_ci95": _interval(drawn, len(np.unique(identities))),
        "n_test": len(labels),
        "seeds": len(scores),
    }


def roc(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ROC curve: one point for every score that occurs, and (0, 0).

    Args:
      labels: (n,) 1 = member.
      scores: (n,) larger = rather a member.

    Returns:
      fpr and tpr, each (k,) float64, from 0 to 1.
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    values, positive = np.asarray(scores)[order], np.asarray(labels)[order] == 1
    last = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)  # of each tied run
    tpr = np.cumsum(positive)[last] / positive.sum()
    fpr = np.cumsum(~positive)[last] / (~positive).sum()
    return np.append(0.0, fpr), np.append(0.0, tpr)


def _checked(labels, scores, identities, classes=2):
    labels, scores = np.asarray(labels, int), np.atleast_2d(np.asarray(scores, float))
    identities = np.arange(len(labels)) if identities is None else np.asarray(identities)
    if scores.shape[1:] != labels.shape or identities.shape != labels.shape:
        raise ValueError(
            f"labels {labels.shape}, scores {scores.shape} and identities "
            f"{identities.shape} do not belong to the same images"
        )
    if not np.isfinite(scores).all():
        raise ValueError(f"{np.sum(~np.isfinite(scores))} scores are not finite")
    found = np.unique(labels)
    if len(found) != classes or not np.isin(found, (0, 1)).all():
        raise ValueError(f"labels must be 1 (members) and 0 (non-members); found {found}")
    return labels, scores, identities


def _sorted_views(labels: np.ndarray, scores: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """Per auditor: rows of non-members and members by rising score, and how they mix.

    The third and fourth array count, for every member, the non-members that score less, and
    that score less or the same; the fifth, for every non-member, the members that score at
    most as much.
    """
    views = []
    rows = [np.flatnonzero(labels == label) for label in (0, 1)]
    for row in scores:
        others, members = (r[np.argsort(row[r], kind="stable")] for r in rows)
        below = np.searchsorted(row[others], row[members], side="left")
        upto = np.searchsorted(row[others], row[members], side="right")
        beaten = np.searchsorted(row[members], row[others], side="right")
        views.append((others, members, below, upto, beaten))
    return views


def _shares(
    labels: np.ndarray,
    scores: np.ndarray,
    threshold: float,
    frozen: np.ndarray | None,
    fprs: Sequence[float],
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{figure: (share of the auditors that are right, or call it a member; rows that count)}."""
    right = np.mean((scores >= threshold) == labels, axis=0)
    sides = [labels == label for label in (0, 1)]
    found = {"accuracy": (right, np.ones(right.shape, bool))}
    found |= {f"right:{label}": (right, side) for label, side in enumerate(sides)}
    for fpr in fprs if frozen is not None else ():
        bars = np.array([operating.freeze(row, fpr) for row in frozen])[:, None]
        called = np.mean(scores > bars, axis=0)
        found |= {f"{rate}:{fpr}": (called, side) for rate, side in zip(("fpr", "tpr"), sides)}
    return found


def _means(shares: Mapping, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Weighted means (r,) of `_shares`, and the balanced accuracy, of images weighted (n, r)."""
    found = {}
    for name, (share, rows) in shares.items():
        counted = np.stack([share * rows, rows]).astype(weights.dtype) @ weights
        found[name] = counted[0] / counted[1]
    found["balanced_accuracy"] = (found.pop("right:0") + found.pop("right:1")) / 2
    return found


def _ranks(
    order: list[tuple[np.ndarray, ...]], weights: np.ndarray, fprs: Sequence[float]
) -> dict[str, np.ndarray]:
    """{"auc", "tpr:0.01", ...}, each (r,), means over the auditors, of images weighted (n, r)."""
    per_auditor = [dict(_ranked(view, weights, fprs)) for view in order]
    return {name: np.mean([v[name] for v in per_auditor], axis=0) for name in per_auditor[0]}


def _ranked(
    view: tuple[np.ndarray, ...], weights: np.ndarray, fprs: Sequence[float]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields what only the order of one auditor's scores decides: AUC and TPRs, (r,)."""
    others, members, below, upto, beaten = view
    passed = np.zeros((len(others) + 1, weights.shape[1]), weights.dtype)
    np.cumsum(weights.take(others, axis=0), axis=0, out=passed[1:])  # `take`: 4x faster than []
    total = passed[-1]
    won = passed.take(below, axis=0)
    if not np.array_equal(below, upto):
        won = (won + passed.take(upto, axis=0)) / 2
    member_weights = weights.take(members, axis=0)
    members_total = member_weights.sum(axis=0)
    yield "auc", np.einsum("ir,ir->r", member_weights, won) / (total * members_total)
    for fpr in fprs:
        # The lowest non-member who may stand at the threshold: those above are few enough.
        allowed = total - passed[1:] <= np.floor(fpr * total + 1e-3)
        lost = beaten[np.argmax(allowed, axis=0)]
        counts = np.arange(len(members))[:, None] >= lost
        yield f"tpr:{fpr}", np.einsum("ir,ir->r", member_weights, counts) / members_total


def _independent_trials(labels: np.ndarray, identities: np.ndarray) -> dict[str, int]:
    people = [len(np.unique(identities[labels == label])) for label in (0, 1)]
    return {
        "accuracy": len(np.unique(identities)),
        "balanced_accuracy": min(people),
        "auc": min(people),
        "fpr": people[0],
        "tpr": people[1],
    }


def _interval(drawn: np.ndarray, trials: int | None = None) -> list[float]:
    """Percentile interval; Clopper-Pearson's where nothing varies at 0 or 1."""
    tail = (1 - _LEVEL) / 2
    low, high = (float(x) for x in np.quantile(drawn, [tail, 1 - tail]))
    if trials and low == high == 1.0:
        low = tail ** (1 / trials)
    elif trials and low == high == 0.0:
        high = 1 - tail ** (1 / trials)
    return [low, high]
