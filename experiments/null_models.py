"""Null models and power: whether error rates hold, and what is found with known leakage.

    python -m experiments.null_models --workdir=DIR [--config.redraws=50]

draws bank, training, calibration and test people anew in each redraw, and asks about photos that
nobody trained on: calibrated alike, when error rates must hold, and after a change or from another
database, when they need not. Then it asks about photos that were trained on. `DIR/null_models.json`
holds every figure; `null_p_values.svg` and `power.svg` show them. Embeddings stay in `DIR/aad`, and
a run that was stopped goes on from there. Intervals are over people, given this model: redraws of
auditors on one model are no replicates of it. Any number of processes share the photos and the
redraws: docs/launch.md.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from experiments import cli, null_photos, null_plots, nulls, versions
from experiments.lab_models import ground_truth
from mint_jax import parallel
from mint_jax.report import words

_CONFIG = config_flags.DEFINE_config_file(
    "config", str(Path(__file__).with_name("configs") / "null_models.py"), "How much is drawn."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of embeddings and results.", required=True)


def main(argv: Sequence[str]) -> None:
    """Runs the redraws and prints their tables."""
    del argv
    print("\n".join(table(run(_CONFIG.value, Path(_WORKDIR.value)))))


def run(config: ConfigDict, workdir: Path) -> dict:
    """Reads the photos, runs all redraws, and writes `workdir/null_models.json` and two plots.

    Several processes find the same figures; process 0 writes them.

    Args:
      config: see `experiments/configs/null_models.py`.
      workdir: made where it is not there.

    Returns:
      The content of the file: {"nulls": [{"name", "title", and what `nulls.null` says}],
      "all_tests": what `nulls.all_tests` says, "shifts": [{"name", "title", and what `nulls.shift`
      says}], "power": [what `nulls.power` says, and "share" of the members' photos that the bank
      holds], "config", "date", "device", "versions"}.

    Raises:
      InputError: what `null_photos.read` and `nulls.ask` raise.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    photos = null_photos.read(config, workdir / "aad")
    asked = nulls.ask(photos, config)
    rows = [
        {"name": name, "title": title, **nulls.null(asked[name], config.seed)}
        for name, title in nulls.NULLS.items()
    ]
    members = len(ground_truth().members)
    found = {
        "nulls": rows,
        "all_tests": nulls.all_tests(rows),
        "shifts": [
            {"name": name, "title": title, **nulls.shift(asked[name], config.seed)}
            for name, title in null_photos.SHIFTS.items()
        ],
        "power": [
            row | {"share": row["bank"] * config.photos / members}
            for row in nulls.power(photos, config)
        ],
        "config": config.to_dict(),
        **versions.describe(),
    }
    if not parallel.process_index():
        (workdir / "null_models.json").write_text(json.dumps(found, indent=1) + "\n")
        (workdir / "null_p_values.svg").write_text(null_plots.p_values(rows))
        (workdir / "power.svg").write_text(null_plots.power(found["power"]))
    return found


def table(found: Mapping) -> Iterator[str]:
    """Lines of Markdown."""
    first = found["nulls"][0]
    yield f"{first['redraws']} redraws; intervals are 95%, over people, given this model."
    yield from _null_lines(found["nulls"])
    tests = found["all_tests"]
    failed = ", ".join(tests["rejected"]) or "none"
    yield (
        f"\nSmallest of the {tests['tests']} p-values: {tests['smallest_p']:.3f}. "
        f"Rejected at 5% over all of them (Holm): {failed}."
    )
    yield from _shift_lines(found["shifts"])
    yield from _power_lines(found["power"])


def _null_lines(rows: Sequence[Mapping]) -> Iterator[str]:
    yield "\n| null model | queries | KS p | level | rejected | sd of counts (theory) | counts p |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        for alpha, level in row["levels"].items():
            yield (
                f"| {row['title']} | {row['queries']:,} | {row['ks_p']:.3f} | {float(alpha):.0%} | "
                f"{_share(level)} | {level['sd']:.2f} ({level['expected_sd']:.2f}) | "
                f"{level['counts_p']:.3f} |"
            )


def _shift_lines(rows: Sequence[Mapping]) -> Iterator[str]:
    yield (
        "\n| shifted null | people | queries | "
        + " | ".join(f"rejected at {alpha:.0%} | inflation" for alpha in nulls.LEVELS)
        + " |"
    )
    yield "|---" * (3 + 2 * len(nulls.LEVELS)) + "|"
    for row in rows:
        cells = [
            f"{_share(level)} | {level['inflation']:.2f} "
            f"[{level['inflation_ci95'][0]:.2f}, {level['inflation_ci95'][1]:.2f}]"
            for level in row["levels"].values()
        ]
        start = f"| {row['title']} | {row['people']:,} | {row['queries']:,} | "
        yield start + " | ".join(cells) + " |"


def _power_lines(rows: Sequence[Mapping]) -> Iterator[str]:
    yield (
        "\n| members' photos in the bank | photos asked about | people | "
        + " | ".join(f"found at {alpha:.0%}" for alpha in nulls.POWER_LEVELS)
        + " |"
    )
    yield "|---" * (3 + len(nulls.POWER_LEVELS)) + "|"
    for row in rows:
        asked = f"{row['photos']} used" if row["used"] else f"{row['photos']} unused"
        cells = " | ".join(_share(level) for level in row["levels"].values())
        yield f"| {row['share']:.0%} | {asked} | {row['people']:,} | {cells} |"


def _share(level: Mapping) -> str:
    return words.figure(level, "rate")


if __name__ == "__main__":
    cli.run(main, multihost=True)
