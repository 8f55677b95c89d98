"""Speed as ratios to what a user would pick instead, for this machine: `make benchmark`.

    python -m experiments.benchmark [--suite=cpu|gpu] [--workdir=runs/benchmark] [--only=search]

prints a row for each comparison and writes all to `WORKDIR/benchmark.json`, after each. A ratio
above 1 means that ours is better, whatever the unit. Both sides run in turns, and figures are
medians over them. Rows of an earlier run that are not measured anew stay, each with its own date
and device. A peer that is not installed is null, with a reason: pip install '.[bench]'.
"""

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from absl import flags

from experiments import cli, versions
from experiments.benchmarks import suites
from experiments.benchmarks.races import measure
from mint_jax.errors import InputError

_SUITE = flags.DEFINE_enum("suite", "cpu", list(suites.SUITES), "for which kind of device")
_WORKDIR = flags.DEFINE_string("workdir", "runs/benchmark", "folder of benchmark.json")
_ONLY = flags.DEFINE_list("only", [], "names of some rows of the suite; all where empty")
_TURNS = flags.DEFINE_integer("turns", None, "runs of each side; each row's own", lower_bound=1)
_FULL = flags.DEFINE_bool("full", False, "memory of 100,000 images, not of 10,000")

_PEERS = ("onnxruntime", "opencv-python-headless", "torch")


def main(argv: Sequence[str]) -> None:
    """Runs each comparison of the suite and says what it found."""
    del argv
    races = suites.SUITES[_SUITE.value]
    for name in _ONLY.value:
        if name not in races:
            raise InputError(f"--only: {name!r} is none of {', '.join(races)}")
    workdir = Path(_WORKDIR.value)
    workdir.mkdir(parents=True, exist_ok=True)
    output = workdir / "benchmark.json"
    found = _rows(output)
    for name in _ONLY.value or races:
        build = (suites.FULL if _FULL.value else {}).get(name, races[name])
        with tempfile.TemporaryDirectory(dir=workdir) as folder:
            rows = measure(name, build(Path(folder)), _TURNS.value)
        found |= {row["name"]: row | _described() for row in rows}
        output.write_text(json.dumps(list(found.values()), indent=1) + "\n")
        print("\n".join(map(_line, rows)), flush=True)


def _described() -> dict[str, Any]:
    """{"date", "device", "versions"} of this run, with those of the peers that are installed."""
    found = versions.describe()
    installed = {d.name for d in metadata.distributions()} & set(_PEERS)
    found["versions"] |= {name: metadata.version(name) for name in sorted(installed)}
    return found


def _rows(path: Path) -> dict[str, dict[str, Any]]:
    """{name: row} of an earlier run."""
    try:
        return {row["name"]: row for row in json.loads(path.read_text())} if path.exists() else {}
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: no rows of a benchmark, move it away: {error}") from None


def _line(row: Mapping[str, Any]) -> str:
    head = f"{row['name']}: {row['words']}, n = {row['n']:,}\n  "
    if row["ratio"] is None:
        return f"{head}{row['ours']:.3g} {row['unit']}; {row['peer_name']}: {row['reason']}"
    low, high = row["ratio_range"]
    goal = f"; goal {row['goal']:g} {'met' if row['met'] else 'missed'}" if row["goal"] else ""
    return (
        f"{head}{row['ours']:.3g} {row['unit']}; {row['peer_name']}: {row['peer']:.3g}\n"
        f"  ratio {row['ratio']:.2f} ({low:.2f} to {high:.2f} in {row['turns']} turns){goal}"
    )


if __name__ == "__main__":
    # An accelerator's memory is shared with PyTorch and with the processes that are measured.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    cli.run(main, cores=True)
