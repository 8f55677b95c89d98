"""How the runs of a workdir were started: `run.json`, and `config.json` where they have one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from mint_jax.errors import InputError

_CONFIG, _RUN = "config.json", "run.json"


def write(workdir: Path, run: Mapping[str, Any], config: ConfigDict | None = None) -> None:
    """Records a run before it begins; nothing that was recorded of earlier ones is lost.

    `run.json` holds the newest run, and the others in "earlier", the oldest first. "config" of a
    run is "config.json", or what that file held then, where it holds something else now.

    Args:
      workdir: made where it is not there.
      run: JSON-able facts about it.
      config: resolved; None where the command takes none, which leaves `config.json` as it is.

    Raises:
      InputError: the folder cannot be made or written to.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        earlier = _runs(workdir / _RUN)
        run = dict(run)
        if config is not None:
            run["config"] = _CONFIG
            _replace(workdir / _CONFIG, config.to_json_best_effort(indent=1), earlier)
        _write(workdir / _RUN, json.dumps(run | {"earlier": earlier}, indent=1))
    except OSError as error:
        raise InputError(f"{workdir}: {error.strerror}") from None


def _runs(path: Path) -> list[dict[str, Any]]:
    """All runs that a file records, the newest last."""
    if not path.exists():
        return []
    newest = json.loads(path.read_text())
    return [*newest.pop("earlier", []), newest]


def _replace(path: Path, content: str, earlier: list[dict[str, Any]]) -> None:
    """Writes a configuration; runs that had another one get its content."""
    if path.exists() and (before := path.read_text()) != content:
        for run in earlier:
            if run.get("config") == _CONFIG:
                run["config"] = json.loads(before)
    _write(path, content)


def _write(path: Path, content: str) -> None:
    partly = path.with_suffix(".partly")
    partly.write_text(content)
    partly.replace(path)
