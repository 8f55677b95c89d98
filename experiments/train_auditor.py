"""Trains one chosen auditor and exports it.

    python -m experiments.train_auditor --config=FILE[:args] --workdir=DIR \
        [--config.auditor=neighbour] [--config.layer=outcome] [--config.protocol=matched]

`FILE` is a configuration of `experiments.tables`; the auditor is trained with the largest of its
sizes. `DIR/auditor` is what `experiments.score` takes; `DIR/auditor.json` says what it reads on
the test part. A training that was stopped goes on where it was, and any number of processes share
it: docs/launch.md.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from experiments import announcing, audit, cli
from mint_jax import parallel

_CONFIG = config_flags.DEFINE_config_file("config", None, "What is audited, and which auditor.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the results.")


def main(argv: Sequence[str]) -> None:
    """Trains the auditor of `--config` and exports it into `--workdir`."""
    del argv
    announcing.placements()
    workdir = Path(_WORKDIR.value)
    cell = audit.train_one(_CONFIG.value, workdir)
    if not parallel.process_index():
        (workdir / "auditor.json").write_text(json.dumps(cell, indent=1))
    low, high = cell["auc_ci95"]
    print(f"AUC {cell['auc']:.3f} [{low:.3f}, {high:.3f}], n = {cell['n_test']}: {workdir}/auditor")


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    cli.run(main, multihost=True)
