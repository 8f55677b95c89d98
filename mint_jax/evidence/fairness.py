"""Whether verdicts do wrong to some groups of people more often than to others.

A false alarm says of somebody that their photos were used, and they were not. Its rate is given for
each group where an attribute of the people is known; the bounds are Clopper and Pearson's over one
image a person, as in `operating`. A group of few people is named and not measured.
"""

from collections.abc import Mapping

import numpy as np

from mint_jax.evidence.operating import clopper_pearson, one_each

MIN_PEOPLE = 10  # no false alarm among so many still leaves a rate of 31% possible


def by_group(
    calls: np.ndarray,
    identities: np.ndarray,
    attributes: Mapping[str, np.ndarray],
    seed: int = 0,
) -> list[dict]:
    """False positive rates of each group of each attribute.

    Args:
      calls: (n,) bool, whether each image of non-members was called a member.
      identities: (n,).
      attributes: {attribute: (n,) values}, of any type that sorts.
      seed: of the draw of one image a person.

    Returns:
      The `fairness` block of tables.json: [{"attribute", "group", "n": images, "people", "fpr":
      rate over all images, "fpr_ci95": over one image a person of the group}]; both None where the
      group has fewer than 10 people.

    Raises:
      ValueError: shapes that do not fit.
    """
    calls, identities, attributes = _checked(calls, identities, attributes)
    rows = []
    for attribute, values in attributes.items():
        for value in np.unique(values):
            called, people = calls[values == value], identities[values == value]
            each = called[one_each(people, seed)]
            row = {
                "attribute": attribute,
                "group": str(value),
                "n": len(called),
                "people": len(each),
                "fpr": None,
                "fpr_ci95": None,
            }
            if len(each) >= MIN_PEOPLE:
                interval = clopper_pearson(int(each.sum()), len(each))
                row |= {"fpr": float(called.mean()), "fpr_ci95": interval}
            rows.append(row)
    return rows


def compare(
    calls: np.ndarray,
    identities: np.ndarray,
    attributes: Mapping[str, np.ndarray],
    *,
    permutations: int = 10_000,
    seed: int = 0,
) -> list[dict]:
    """Tests, for each attribute, whether its groups have one false positive rate.

    One image a person; the chi-squared statistic of calls against groups, ranked among those of
    groups that were dealt out anew, which keeps the level however few calls there are (Good,
    "Permutation, Parametric and Bootstrap Tests of Hypotheses", 2005). The p-values of several
    attributes are not corrected for each other; see `persons.holm`.

    Args:
      calls, identities, attributes: as in `by_group`.
      permutations: how many times groups are dealt out.
      seed: of the draw of images and of the permutations.

    Returns:
      [{"attribute", "groups": how many have at least 10 people, "people": theirs, "calls": of their
      images, "p": None where fewer than two groups have}].

    Raises:
      ValueError: shapes that do not fit.
    """
    calls, identities, attributes = _checked(calls, identities, attributes)
    each, rng = one_each(identities, seed), np.random.default_rng((seed, permutations))
    tests = []
    for attribute, values in attributes.items():
        place, sizes = np.unique(values[each], return_inverse=True, return_counts=True)[1:]
        kept = sizes >= MIN_PEOPLE
        hits = np.bincount(place, calls[each]).astype(int)[kept]
        p = _permuted(hits, sizes[kept], permutations, rng) if kept.sum() > 1 else None
        found = {"groups": int(kept.sum()), "people": int(sizes[kept].sum())}
        tests.append({"attribute": attribute} | found | {"calls": int(hits.sum()), "p": p})
    return tests


def _permuted(
    hits: np.ndarray, sizes: np.ndarray, permutations: int, rng: np.random.Generator
) -> float:
    """p-value of calls (g,) in groups of these sizes (g,).

    With both margins given, chi-squared rises with the sum of hits ** 2 / size; dealing people out
    anew makes the hits multivariate hypergeometric.
    """
    drawn = rng.multivariate_hypergeometric(sizes, int(hits.sum()), permutations)
    observed, others = ((h**2 / sizes).sum(axis=-1) for h in (hits, drawn))
    return (1 + int(np.sum(others >= observed * (1 - 1e-9)))) / (permutations + 1)


def _checked(
    calls: np.ndarray, identities: np.ndarray, attributes: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    calls, identities = np.asarray(calls, bool), np.asarray(identities)
    found = {name: np.asarray(values) for name, values in attributes.items()}
    for name, values in ({"identities": identities} | found).items():
        if values.shape != calls.shape or calls.ndim != 1:
            raise ValueError(f"{name} {values.shape} do not belong to {calls.shape} calls")
    return calls, identities, found
