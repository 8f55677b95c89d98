"""Redraws of null models, and whether what was rejected agrees with theory.

Everybody is drawn at random from a pool of people in each redraw, calibration and test people with
one photo each. Given the pool, ranks are therefore exchangeable by the draw alone and redraws are
independent, although they share people. So a randomised p-value is uniform, and the n_test queries
of a redraw are rejected as often as a Beta-Binomial(n_test, k, n_cal + 1 - k) says, k = floor(alpha
(n_cal + 1)) (Marques, arXiv 2303.02770). That holds as long as nothing of the calibration photos
enters the auditor, and an image scores alike in either part. Several processes divide the redraws.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ml_collections import ConfigDict
from scipy import stats
from tqdm import tqdm

from mint_jax import auditors, parallel
from mint_jax.errors import InputError
from mint_jax.evidence import conformal, operating, persons
from mint_jax.evidence.resampling import image_weights

LEVELS = (0.05, 0.01)
POWER_LEVELS = (0.1, 0.05, 0.01)
NULLS = {
    "pretended": "fresh people, an auditor of pretended labels",
    "non_members": "fresh people, an auditor of true labels",
    "unused": "unused photos of members, an auditor of true labels",
}
_RESAMPLES = 2000


@dataclass(frozen=True)
class Photos:
    """Embeddings of photos, person by person.

    Attributes:
      members: (m, K, D) of photos that the audited model trained on.
      non_members: (o, K, D) of people of the half that was held out.
      fresh: (f, K, D) of people in neither half.
      unused: (m, D) of a photo of each member that was not trained on.
      changed: {change: (f, D)} of the first photos of the fresh people, after a change.
      elsewhere: {database: (e, D)} of people of other databases.
    """

    members: np.ndarray
    non_members: np.ndarray
    fresh: np.ndarray
    unused: np.ndarray
    changed: Mapping[str, np.ndarray]
    elsewhere: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Asked:
    """What R redraws said to one question.

    Attributes:
      people: (R, n) numbers of the people that were asked about, within their pool.
      p: (R, n) conformal p-values.
      randomised: (R,) the randomised p-value of each redraw's first query.
      calibration: people of a calibration set.
    """

    people: np.ndarray
    p: np.ndarray
    randomised: np.ndarray
    calibration: int


def ask(photos: Photos, config: ConfigDict) -> dict[str, Asked]:
    """Asks about null models, `config.redraws` times, which all processes divide.

    Args:
      photos: embeddings.
      config: numbers of people, see `experiments/configs/null_models.py`.

    Returns:
      {null model of `NULLS`, change or database: Asked}; changed photos and other databases are
      calibrated on photos of the fresh people as they are.

    Raises:
      InputError: fewer people than a redraw or a level needs.
    """
    least = conformal.needed(min(LEVELS))
    if min(config.calibration, config.unused_calibration) < least:
        raise InputError(f"--config: {min(LEVELS):.0%} needs {least} calibration people")

    def redraw(i: int) -> Iterator[tuple]:
        rng = np.random.default_rng((config.seed, i))
        for draw in (_pretended, _known):
            for name, people, calibration, scores in draw(photos, config, rng):
                p = conformal.p_values(calibration, scores)
                one = conformal.randomised_p_values(
                    calibration, scores[:1], int(rng.integers(2**32))
                )
                yield name, (people, p, one[0], len(calibration))

    found = _redrawn(redraw, config.redraws, "null models")
    return {
        name: Asked(people, p, randomised, int(sizes[0]))
        for name, (people, p, randomised, sizes) in found.items()
    }


def _redrawn(
    redraw: Callable[[int], Iterable[tuple[Hashable, Sequence]]], count: int, title: str
) -> dict[Hashable, list[np.ndarray]]:
    """{key: arrays (count, ...)} of what `redraw(i)` yields, (key, arrays), for each i < count."""
    found = defaultdict(list)
    for i in tqdm(parallel.own_rows(count, 1), title):
        for key, arrays in redraw(int(i)):
            found[key].append(arrays)
    parallel.barrier("redrawn")
    return {
        key: [parallel.gather_rows(np.stack(column), count) for column in zip(*rows)]
        for key, rows in found.items()
    }


def _pretended(photos: Photos, config: ConfigDict, rng: np.random.Generator) -> Iterator[tuple]:
    """Yields what `_known` does, where "members" too are people whom nobody trained on."""
    known, first = config.bank + config.train, photos.fresh[:, 0]
    sizes = known, known, config.calibration, config.test
    members, others, calibration, test = _deal(rng, "fresh", len(first), *sizes)
    score = _auditor(photos.fresh[members], photos.fresh[others], config.bank)
    yield "pretended", test, score(first[calibration]), score(first[test])


def _known(photos: Photos, config: ConfigDict, rng: np.random.Generator) -> Iterator[tuple]:
    """Yields (name, people (n,), calibration scores (c,), scores (n,)) of a redraw."""
    known, first = config.bank + config.train, photos.fresh[:, 0]
    sizes = known, config.unused_calibration, config.unused_test
    members, own, unused = _deal(rng, "members", len(photos.members), *sizes)
    (others,) = _deal(rng, "non_members", len(photos.non_members), known)
    score = _auditor(photos.members[members], photos.non_members[others], config.bank)
    calibration, test = _deal(rng, "fresh", len(first), config.calibration, config.test)
    calibrated = score(first[calibration])
    yield "non_members", test, calibrated, score(first[test])
    yield "unused", unused, score(photos.unused[own]), score(photos.unused[unused])
    for name, changed in photos.changed.items():
        yield name, test, calibrated, score(changed[test])
    for name, faces in photos.elsewhere.items():
        (people,) = _deal(rng, name, len(faces), config.test)
        yield name, people, calibrated, score(faces[people])


def _deal(rng: np.random.Generator, name: str, people: int, *sizes: int) -> list[np.ndarray]:
    """Disjoint draws of people, as many as `sizes` say."""
    if sum(sizes) > people:
        raise InputError(
            f"--config: a redraw needs {sum(sizes)} people of {name}, there are {people}"
        )
    return np.split(rng.permutation(people)[: sum(sizes)], np.cumsum(sizes)[:-1])


def _auditor(members: np.ndarray, others: np.ndarray, bank: int) -> Callable:
    """Scores (n,) of embeddings (n, D); the first `bank` people of (p, K, D) are in the banks."""
    sides = [members, others]
    banks = [side[:bank].reshape(-1, side.shape[-1]) for side in sides]
    train = [side[bank:].reshape(-1, side.shape[-1]) for side in sides]
    labels = np.repeat([1, 0], [len(side) for side in train])
    rows = np.ones((1, len(labels)), bool)
    fitted = auditors.fit_neighbours(np.concatenate(train), labels, *banks, rows)
    return lambda embeddings: fitted.predict(embeddings)[0]


def null(asked: Asked, seed: int = 0) -> dict:
    """Holds what was rejected against theory.

    Uniformity of the randomised p-values, and of the randomised probability integral transforms
    F(c - 1) + U P(c) of the counts c, is tested by Kolmogorov and Smirnov's exact test: no cells
    have to be chosen.

    Args:
      asked: of a question whose hypothesis is true.
      seed: of U, and of the bootstrap.

    Returns:
      {"calibration", "queries", "redraws", "p_values": of each redraw, "ks_p", "levels": {"0.05":
      {what `rejected` says, "expected": rate, "sd", "expected_sd": of the counts, "counts_p"}}}.
    """
    redraws, n = asked.p.shape
    found = {
        "calibration": asked.calibration,
        "queries": redraws * n,
        "redraws": redraws,
        "p_values": asked.randomised.tolist(),
        "ks_p": uniformity(asked.randomised),
        "levels": {},
    }
    for alpha in LEVELS:
        counts, theory = (asked.p <= alpha).sum(axis=1), law(n, asked.calibration, alpha)
        found["levels"][str(alpha)] = {
            **rejected(asked.people, asked.p, alpha, seed),
            "expected": float(theory.mean() / n),
            "sd": float(counts.std(ddof=1)),
            "expected_sd": float(theory.std()),
            "counts_p": uniformity(transformed(counts, theory, seed)),
        }
    return found


def law(n_test: int, n_calibration: int, alpha: float) -> stats.distributions.rv_frozen:
    """The distribution of the rejections among `n_test` queries under the hypothesis."""
    k = math.floor(alpha * (n_calibration + 1) + 1e-9)
    return stats.betabinom(n_test, k, n_calibration + 1 - k)


def transformed(counts: np.ndarray, theory: stats.distributions.rv_frozen, seed: int) -> np.ndarray:
    """F(c - 1) + U P(c) of counts (R,): uniform if they follow `theory`."""
    u = np.random.default_rng(seed).random(len(counts))
    return theory.cdf(counts - 1) + u * theory.pmf(counts)


def uniformity(values: np.ndarray) -> float:
    """The p-value of Kolmogorov and Smirnov's test that values (R,) are uniform."""
    return float(stats.kstest(values, "uniform").pvalue)


def rejected(people: np.ndarray, p: np.ndarray, alpha: float, seed: int = 0) -> dict:
    """How often queries are rejected, over all redraws.

    Args:
      people: (R, n) who was asked about.
      p: (R, n) p-values.
      alpha: level.
      seed: of the bootstrap over people.

    Returns:
      {"rate", "rate_ci95": over the people asked about, given this model and the other people}.
    """
    people = np.unique(people, return_inverse=True)[1].ravel()
    hits, times = np.bincount(people, (p <= alpha).ravel()), np.bincount(people)
    rate = hits.sum() / times.sum()
    if rate in (0, 1):  # a bootstrap of equals has no width
        return {
            "rate": rate,
            "rate_ci95": operating.clopper_pearson(int(rate * len(hits)), len(hits)),
        }
    same = np.ones(len(hits), int)
    blocks = image_weights(same, np.arange(len(hits)), _RESAMPLES, seed)
    drawn = np.concatenate([hits @ weights / (times @ weights) for weights in blocks])
    return {"rate": float(rate), "rate_ci95": np.quantile(drawn, [0.025, 0.975]).tolist()}


def shift(asked: Asked, seed: int = 0) -> dict:
    """How much more often than stated a true hypothesis is rejected where photos are others.

    Returns:
      {"people": asked about, "queries", "levels": {"0.05": {what `rejected` says, "inflation": rate
      / alpha, "inflation_ci95"}}}.
    """
    found = {"people": len(np.unique(asked.people)), "queries": asked.p.size, "levels": {}}
    for alpha in LEVELS:
        level = rejected(asked.people, asked.p, alpha, seed)
        bounds = [bound / alpha for bound in level["rate_ci95"]]
        inflation = {"inflation": level["rate"] / alpha, "inflation_ci95": bounds}
        found["levels"][str(alpha)] = level | inflation
    return found


def power(photos: Photos, config: ConfigDict) -> list[dict]:
    """How often members are found, by the size of the bank and the photos pooled a person.

    Calibration people are as many as in `ask`, with as many photos pooled as of the members. All
    processes divide the redraws.

    Returns:
      [{"bank": people, "photos": pooled, "used": whether the model trained on them, "people": asked
      about, "levels": {"0.1": what `rejected` says}}].

    Raises:
      InputError: fewer people than a redraw needs.
    """
    rows = []
    for bank in config.power_banks:

        def redraw(i: int, bank: int = bank) -> Iterator[tuple]:
            rng = np.random.default_rng((config.seed, bank, i))
            for photo_count, used, *found in _pooled(photos, config, bank, rng):
                yield (photo_count, used), found

        found = _redrawn(redraw, config.power_redraws, f"power, {bank:,} in the bank")
        for (photo_count, used), (people, p) in found.items():
            row = {"bank": bank, "photos": photo_count, "used": used}
            levels = {str(a): rejected(people, p, a, config.seed) for a in POWER_LEVELS}
            rows.append(row | {"people": len(np.unique(people)), "levels": levels})
    return rows


def _pooled(
    photos: Photos, config: ConfigDict, bank: int, rng: np.random.Generator
) -> Iterator[tuple[int, bool, np.ndarray, np.ndarray]]:
    """Yields (photos pooled, whether they were used, people (n,), p-values (n,)) of a redraw."""
    known = bank + config.train
    members, test = _deal(rng, "members", len(photos.members), known, config.power_test)
    (others,) = _deal(rng, "non_members", len(photos.non_members), known)
    score = _auditor(photos.members[members], photos.non_members[others], bank)
    (calibration,) = _deal(rng, "fresh", len(photos.fresh), config.calibration)
    fresh, used = (
        _each(score, faces) for faces in (photos.fresh[calibration], photos.members[test])
    )
    for count in range(1, fresh.shape[1] + 1):
        own, theirs = (_pool(scores[:, :count]) for scores in (used, fresh))
        yield count, True, test, conformal.p_values(theirs, own)
    unused = _pool(score(photos.unused[test])[:, None])
    yield 1, False, test, conformal.p_values(_pool(fresh[:, :1]), unused)


def _each(score: Callable, faces: np.ndarray) -> np.ndarray:
    """Scores (n, K) of embeddings (n, K, D)."""
    return score(faces.reshape(-1, faces.shape[-1])).reshape(faces.shape[:2])


def _pool(scores: np.ndarray) -> np.ndarray:
    """One score (n,) a person out of the scores (n, k) of their photos."""
    return np.apply_along_axis(persons.person_score, 1, scores)


def all_tests(rows: Sequence[Mapping]) -> dict:
    """Whether the rates of null models hold, by all tests of them together.

    Args:
      rows: {"name", and what `null` says} of each.

    Returns:
      {"tests": how many, "smallest_p", "rejected": names of those rejected at 5% by Holm's method}.
    """
    p = {f"{row['name']}, p-values": row["ks_p"] for row in rows}
    for row in rows:
        p |= {f"{row['name']}, {a}": found["counts_p"] for a, found in row["levels"].items()}
    failed = [name for name, is_rejected in persons.holm(p, 0.05).items() if is_rejected]
    return {"tests": len(p), "smallest_p": min(p.values()), "rejected": failed}
