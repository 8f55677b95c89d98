"""The manifest of an audit set: which images each part holds, by key and hash."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.errors import InputError
from data_pipelines.sources import Concatenated, Subset, origins

_FORMAT = 2


def write(path: str | Path, sides: Mapping[str, Mapping[str, Any]], **about: Any) -> None:
    """Writes which images each part of each side holds, by key and hash, as JSON.

    Args:
      path: file to write.
      sides: {"members": {part: source}, ...}.
      **about: what else belongs in it: the seed, what a screen dropped; JSON values.
    """
    content = {"format": _FORMAT, **about, "sources": [], "sides": {}}
    numbers = {}
    for side, parts in sides.items():
        found = content["sides"][side] = {}
        for part, source in parts.items():
            entries = [None] * len(source)
            for base, rows, places in origins(source, np.arange(len(source))):
                if id(base) not in numbers:
                    numbers[id(base)] = len(numbers)
                    content["sources"].append(
                        {"database": base.database, "fingerprint": base.fingerprint()}
                    )
                keys = base.keys  # of rendered images they are made anew at every look
                for row, place in zip(rows.tolist(), places):
                    entries[place] = [numbers[id(base)], row, keys[row], _sha256(base, row)]
            found[part] = {
                "images": len(source),
                "identities": len(np.unique(source.identities)),
                "rows": entries,
            }
    Path(path).write_text(json.dumps(content), encoding="utf-8")


def read(
    path: str | Path, sources: Sequence[Any], *, verify: bool = True
) -> dict[str, dict[str, Subset]]:
    """Builds the audit set of a manifest again.

    Args:
      path: of the manifest.
      sources: those that it was drawn from, in the manifest's order. Images may have been added to
        them, or moved within them.
      verify: whether every image's bytes are hashed and compared with the manifest's hash.

    Returns:
      {side: {part: rows of `Concatenated(sources)`}}.

    Raises:
      InputError: no manifest, other sources, an image that a source lacks, or another content.
    """
    found, sides = _load(path)
    names = [entry["database"] for entry in found]
    if len(names) != len(sources):
        raise InputError(f"{path}: drawn from {', '.join(names)}; {len(sources)} sources given")
    everything, begins = Concatenated(sources), np.cumsum([0, *map(len, sources)])
    find = [_Finder(source) for source in sources]

    def place(number: int, row: int, key: str, sha256: str | None) -> int:
        found = find[number].row(row, key)
        if found is None:
            raise InputError(f"{path}: {names[number]} has no image {key}")
        if verify and sha256 is not None and _sha256(sources[number], found) != sha256:
            raise InputError(f"{path}: {names[number]} has another image under the key {key}")
        return int(begins[number]) + found

    return {
        side: {
            part: Subset(everything, [place(*entry) for entry in rows])
            for part, rows in parts.items()
        }
        for side, parts in sides.items()
    }


def databases(path: str | Path) -> list[dict[str, str]]:
    """[{"database", "fingerprint"}] of the sources of a manifest, in its order.

    Raises:
      InputError: no manifest.
    """
    return _load(path)[0]


def _load(path: str | Path) -> tuple[list[dict], dict[str, dict[str, list]]]:
    """The sources of a manifest, and {side: {part: rows}}."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        found = [
            {key: entry[key] for key in ("database", "fingerprint")} for entry in content["sources"]
        ]
        return found, {
            side: {part: entry["rows"] for part, entry in parts.items()}
            for side, parts in content["sides"].items()
        }
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path}: not a manifest of an audit set") from None


class _Finder:
    """Rows of keys; all keys are listed only where one is not in its old row."""

    def __init__(self, source: Any):
        self._keys, self._rows = source.keys, None

    def row(self, row: int, key: str) -> int | None:
        if row < len(self._keys) and self._keys[row] == key:
            return row
        if self._rows is None:
            self._rows = {key: row for row, key in enumerate(self._keys)}
        return self._rows.get(key)


def _sha256(source: Any, row: int) -> str | None:
    """Of the encoded image, where the source holds encoded images; rendered ones have no file."""
    return source.sha256(row) if hasattr(source, "sha256") else None
