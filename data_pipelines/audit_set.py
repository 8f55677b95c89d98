"""Audit sets: seeded draws and partitions of sources into parts that share nobody."""

import fnmatch
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data_pipelines.errors import InputError
from data_pipelines.sources import Concatenated, Subset

# Parts that shrink first where images do not suffice, down to 1 / n of all of them.
_GIVE_WAY = {"bank": 4, "threshold": 16, "calibration": 16, "validation": 16}


def split(
    identities: np.ndarray, parts: Mapping[str, float | int], seed: int
) -> dict[str, np.ndarray]:
    """Cuts the rows of a source into parts, at random, with no identity in two of them.

    Args:
      identities: (n,) identity of each row. For a split by image, which may tear a person apart,
        give `np.arange(n)`.
      parts: {part: share of the images} with floats that add up to at most 1, or {part: number of
        images} with integers. Shares are met as nearly as whole identities allow, numbers exactly:
        what a part's last identity has too much is in no part.
      seed: of the draw.

    Returns:
      {part: (m,) int64 sorted rows}; what no part asks for is left out.

    Raises:
      InputError: parts that the rows do not suffice for.
    """
    identities = np.asarray(identities)
    people, person, sizes = np.unique(identities, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(people))
    rank = np.empty(len(people), np.int64)
    rank[order] = np.arange(len(people))
    rows = np.argsort(rank[person], kind="stable")  # grouped by person, in the order of the draw
    ends = np.cumsum(sizes[order])
    cut = _by_number if all(isinstance(v, int | np.integer) for v in parts.values()) else _by_share
    return {part: np.sort(rows[begin:end]) for part, begin, end in cut(parts, ends)}


def _by_share(parts: Mapping[str, float], ends: np.ndarray) -> list[tuple[str, int, int]]:
    total = sum(parts.values())
    if min(parts.values()) < 0 or total > 1 + 1e-9:
        raise InputError(f"shares of an audit set add up to {total:g}; they must be 0 to 1")
    borders = np.concatenate([[0], ends])
    wanted = np.cumsum([0.0, *parts.values()]) * borders[-1]
    at = [int(borders[np.abs(borders - share).argmin()]) for share in wanted]
    return [(part, at[i], at[i + 1]) for i, part in enumerate(parts)]


def _by_number(parts: Mapping[str, int], ends: np.ndarray) -> list[tuple[str, int, int]]:
    begin, cuts = 0, []
    for part, count in parts.items():
        if begin + count > ends[-1]:
            raise InputError(
                f"part {part!r} of an audit set needs {count} images, {ends[-1] - begin} are left "
                f"of {ends[-1]} (nobody is in two parts)"
            )
        cuts.append((part, begin, begin + count))
        if count:
            begin = int(ends[np.searchsorted(ends, begin + count)])
    return cuts


def partition(
    sources: Sequence[Any],
    wanted: Mapping[str, int],
    seed: int,
    *,
    weights: Sequence[float] | None = None,
    by: str = "identity",
) -> dict[str, Subset]:
    """Cuts sources into parts that share nobody, each source's share about the same in every part.

    Args:
      sources: random-access sources; identities of different sources are different people.
      wanted: {part: number of images}. Where there is not enough, the bank gives way first, down to
        a quarter of the images, then threshold, calibration and validation, down to a sixteenth;
        then all parts shrink alike. A small source is used whole.
      seed: of the cut.
      weights: of the sources, relative; alike where None.
      by: "identity", or "image" where a person's images may be in several parts.

    Returns:
      {part: rows of `Concatenated(sources)`}.

    Raises:
      InputError: weights that are not one positive number a source, or another `by`.
    """
    weights = np.ones(len(sources)) if weights is None else np.asarray(weights, float)
    if len(weights) != len(sources) or not (weights > 0).all():
        raise InputError(f"weights are {list(weights)}; give {len(sources)} positive numbers")
    everything, begins = Concatenated(sources), np.cumsum([0, *map(len, sources)])
    rows, missing = {part: [] for part in wanted}, dict(wanted)
    by_size = sorted(range(len(sources)), key=lambda i: len(sources[i]) / weights[i])
    for place, i in enumerate(by_size):
        left = weights[by_size[place:]].sum()
        quota = {part: math.ceil(count * weights[i] / left) for part, count in missing.items()}
        for part, found in _cut(units(sources[i], by), quota, seed).items():
            rows[part].append(found + begins[i])
            missing[part] -= len(found)
    return {part: Subset(everything, np.sort(np.concatenate(rows[part]))) for part in wanted}


def _cut(people: np.ndarray, quota: Mapping[str, int], seed: int) -> dict[str, np.ndarray]:
    """{part: rows} of one source, with the quota or as much of it as whole people allow."""
    counts, scale = dict(quota), 1.0
    least = {part: len(people) // share for part, share in _GIVE_WAY.items()}
    while True:
        try:
            kept = {part: int(count * scale) for part, count in counts.items()}
            return split(people, kept, seed)
        except InputError:  # people cannot be torn apart, so what fits is found by trying
            part = next((p for p in least if counts.get(p, 0) > least[p]), None)
            if part:
                counts[part] = max(least[part], counts[part] - 1 - len(people) // 100)
            else:
                scale *= 0.95


def units(source: Any, by: str) -> np.ndarray:
    """(n,) what a split does not tear apart: each image's identity, or the image itself.

    Raises:
      InputError: `by` is neither "identity" nor "image".
    """
    if by == "identity":
        return np.asarray(source.identities)
    if by == "image":
        return np.arange(len(source))
    raise InputError(f'a split by {by!r}; it must be "identity" or "image"')


def pick(source: Any, *, count: int | None = None, match: str = "*", seed: int = 0) -> Any:
    """The images of a source that may enter an audit set.

    Args:
      source: random-access source.
      count: at most that many, at random, image by image; None takes all.
      match: shell pattern of keys, such as "fold_0/*"; others are left out.
      seed: of the draw.

    Raises:
      InputError: no key matches.
    """
    if match != "*":
        rows = [row for row, key in enumerate(source.keys) if fnmatch.fnmatchcase(key, match)]
        if not rows:
            raise InputError(f"no image of {len(source)} has a key like {match}")
        source = Subset(source, rows)
    if count is None or len(source) <= count:
        return source
    rng = np.random.default_rng(seed)
    return Subset(source, np.sort(rng.choice(len(source), count, replace=False, shuffle=False)))
