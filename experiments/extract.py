"""Activations of all images of a source, into a store that an interruption does not hurt.

    python -m experiments.extract --workdir=DIR --config=experiments/configs/extract.py:\
audited=SPEC,images=SOURCE

leaves the store DIR/aad, or `--config.store=URL`. A second run goes on where the first one was
stopped, and ends with the same bytes on the same kind of machine: on CPUs the last bits depend on
the number of cores. Each of these is a device, unless JAX_NUM_CPU_DEVICES says how many there are.
`experiments.tables` reads the store where `config.stores` names it. Images a second, and the share
of the time in which the devices waited for images, go to DIR/metrics.jsonl and DIR/tensorboard; at
the end it prints both.

Any number of processes share the shards: docs/launch.md. SIGTERM waits for the shard that is being
written, then ends the command with status 143; at most one more shard of rows is extracted anew.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from experiments import cli, extraction
from mint_jax import parallel

_CONFIG = config_flags.DEFINE_config_file("config", None, "What is extracted, of which images.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the results.")


def main(argv: Sequence[str]) -> None:
    """Extracts what is not there yet and says how much it was."""
    del argv
    tally = extraction.run(_CONFIG.value, Path(_WORKDIR.value))
    if not parallel.process_index():
        print(tally, file=sys.stderr)


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    cli.run(main, multihost=True, cores=True)
