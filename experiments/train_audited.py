"""The lab: trains an audited model on a known part of a database.

    python -m experiments.train_audited --config=FILE[:args] --workdir=DIR

leaves DIR/model: the weights, the classification head, and `manifest.json`, which says who was
in the training set and who was not. Loss and learning rate go to DIR/metrics.jsonl and
DIR/tensorboard. An interrupted training resumes after its last epoch, or after the step at which
SIGTERM ended it with status 143. Any number of processes share each batch: docs/launch.md.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from experiments import cli, lab_models

_CONFIG = config_flags.DEFINE_config_file("config", None, "What is trained, and how.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of checkpoints and of the model.")
flags.mark_flags_as_required(["config", "workdir"])


def main(argv: Sequence[str]) -> None:
    """Trains the audited model of `--config` in `--workdir`."""
    del argv
    config = _CONFIG.value
    source = lab_models.open_images(config.source)
    model, truth = lab_models.train_on_part(config, source, Path(_WORKDIR.value))
    losses = truth.manifest["losses"]["epochs"]
    print(f"{model.name}: {len(truth.members)} member images, {len(losses)} epochs")
    print(f"training loss {losses[0]:.2f} to {losses[-1]:.2f}")
    found = truth.manifest["verification"]
    if found is not None:
        print(f"verification AUC on {found['identities']} unseen people: {_auc(found)}")
        print(f"  raw pixels: {_auc(found, 'raw_pixels_')}")
    read = truth.manifest["neighbour_auditor"]
    print(f"neighbour auditor's AUC, n = {read['audited']['n_test']}: {_auc(read['audited'])}")
    print(f"  random network: {_auc(read['random_network'])}")


def _auc(found: Mapping, prefix: str = "") -> str:
    low, high = found[f"{prefix}auc_ci95"]
    return f"{found[f'{prefix}auc']:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    cli.run(main, multihost=True)
