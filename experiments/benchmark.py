"""Speed as ratios, for this machine: `make benchmark`.

    python -m experiments.benchmark --workdir=DIR [--only=search] [--turns=9]

prints a row for each comparison and writes `DIR/benchmark.json`.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments import benchmarks, cli, versions
from mint_jax.errors import InputError

_WORKDIR = flags.DEFINE_string("workdir", None, "folder of benchmark.json", required=True)
_ONLY = flags.DEFINE_list("only", [], f"some of {', '.join(benchmarks.PAIRS)}; all where empty")
_TURNS = flags.DEFINE_integer("turns", 9, "runs of either side", lower_bound=1)


def main(argv: Sequence[str]) -> None:
    """Times each pair and says how they compare."""
    del argv
    names = _ONLY.value or list(benchmarks.PAIRS)
    for name in names:
        if name not in benchmarks.PAIRS:
            raise InputError(f"--only: {name!r} is none of {', '.join(benchmarks.PAIRS)}")
    found = {name: benchmarks.measure(benchmarks.PAIRS[name](), _TURNS.value) for name in names}
    for row in found.values():
        low, high = row["ratio_range"]
        print(f"{row['words']}: {row['ours']:.3g} s and {row['reference']:.3g} s,")
        print(f"  ratio {row['ratio']:.2f} ({low:.2f} to {high:.2f} in {row['turns']} turns)")
    workdir = Path(_WORKDIR.value)
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / "benchmark.json").write_text(json.dumps({"rows": found} | versions.describe()))


if __name__ == "__main__":
    cli.run(main)
