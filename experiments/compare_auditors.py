"""Auditors where the truth is known: each on models of the lab, beside the published scores.

    python -m experiments.compare_auditors --config=experiments/configs/compare_auditors.py \
        --workdir=DIR

trains models on random halves of databases, the labs. An auditor knows the truth about half of the
people and is asked about the others. The auditor of a lab's summary is the one without a head that
is best on the models that choose; all figures are those of the other models.

`DIR/compare.json` holds every figure, and `DIR/LAB.svg` shows a lab. A run that was stopped goes on
behind the last epoch, reading or finished lab. Any number of processes share the trainings and the
readings: docs/launch.md.
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from experiments import announcing, cli, comparison, comparison_report

_CONFIG = config_flags.DEFINE_config_file("config", None, "Labs and auditors.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of models and of compare.json.")
flags.mark_flags_as_required(["config", "workdir"])


def main(argv: Sequence[str]) -> None:
    """Trains what is missing, compares, and prints a table a lab."""
    del argv
    announcing.placements()
    found = comparison.run(_CONFIG.value, Path(_WORKDIR.value))
    tables = map(comparison_report.table, found["labs"].values())
    print("\n\n".join("\n".join(lines) for lines in tables))


if __name__ == "__main__":
    cli.run(main, multihost=True)
