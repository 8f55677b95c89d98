"""Tables 1 and 2 of the MINT paper for an audited model, under each protocol, with controls.

    python -m experiments.tables --config=FILE[:args] --workdir=DIR

leaves DIR/tables.json, DIR/report.html and DIR/auditors/ (one exported auditor a folder). Any
number of processes share the work: docs/launch.md. Source: DeAlcala et al., arXiv 2503.08332,
Tables 1 and 2.
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from experiments import announcing, audit, cli

_CONFIG = config_flags.DEFINE_config_file("config", None, "What is audited, and how.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the results.")


def main(argv: Sequence[str]) -> None:
    """Runs the audit of `--config` into `--workdir`."""
    del argv
    announcing.placements()
    audit.run(_CONFIG.value, Path(_WORKDIR.value))


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    cli.run(main, multihost=True)
