"""Audit sets: seeded partitions of a source into parts that share nobody, and their manifest."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.errors import InputError

_FORMAT = 1


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


def write_manifest(
    path: str | Path, source: Any, parts: Mapping[str, np.ndarray], **about: Any
) -> None:
    """Writes which images each part holds, by key, as JSON.

    Args:
      path: file to write.
      source: the source whose rows `parts` names.
      parts: {part: (m,) rows}, from `split`.
      **about: what else belongs in it, such as the seed; JSON values.
    """
    identities, keys = np.asarray(source.identities), source.keys
    content = {"format": _FORMAT, **about, "parts": {}}
    for part, rows in parts.items():
        content["parts"][part] = {
            "images": len(rows),
            "identities": len(np.unique(identities[rows])),
            "keys": [keys[row] for row in rows],
        }
    Path(path).write_text(json.dumps(content, indent=1), encoding="utf-8")


def read_manifest(path: str | Path, source: Any) -> dict[str, np.ndarray]:
    """The parts of a manifest as rows of `source`, {part: (m,) int64}.

    Raises:
      InputError: no manifest, or an image of it that the source lacks.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        parts = {part: entry["keys"] for part, entry in content["parts"].items()}
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path}: not a manifest of an audit set") from None
    rows = {key: row for row, key in enumerate(source.keys)}
    for key in (key for keys in parts.values() for key in keys):
        if key not in rows:
            raise InputError(f"{path}: the source has no image {key}")
    return {part: np.array([rows[key] for key in keys], np.int64) for part, keys in parts.items()}
