"""What reference models are worth: LiRA and RMIA beside scores that read one network alone.

    python -m experiments.reference_models --config=experiments/configs/reference_models.py \
        --workdir=DIR

trains models of one recipe on halves of one database. They come in pairs, a random half and the
other one. Each model in turn is the audited one, and all pairs but its own are its references:
every photo is in exactly half of them, and which half says nothing about the audited model.

`DIR/reference_models.json` holds the figures, with intervals over the lab's models: of each its
own people are resampled too. The models share photos and references, which the intervals do not
know. A run that was stopped goes on behind the last epoch.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from experiments import cli, lab_attacks, lab_references, versions
from mint_jax.report import words

_CONFIG = config_flags.DEFINE_config_file("config", None, "What is trained, and how.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of models and of reference_models.json.")
flags.mark_flags_as_required(["config", "workdir"])


def main(argv: Sequence[str]) -> None:
    """Trains what is missing, compares, and prints a table."""
    del argv
    print(_table(run(_CONFIG.value, Path(_WORKDIR.value))))


def run(config: ConfigDict, workdir: Path) -> dict:
    """Trains and reads the models of `config`, and writes `workdir/reference_models.json`.

    Args:
      config: see `experiments/configs/reference_models.py`.
      workdir: gets the models as well, `00/`, `01/` and so on.

    Returns:
      The content of the file: {"rows": of `lab_attacks.compare`, "training_loss": [of each model's
      last epoch], "references": of each audited model, "notes": [sentence, ...], "config", "date",
      "device", "versions"}.

    Raises:
      InputError: what `lab_references.Models` raises.
    """
    models = lab_references.Models(config, workdir)
    found = {
        "rows": lab_attacks.compare(models.study(), config.gamma),
        "training_loss": models.losses(),
        "references": 2 * config.pairs - 2,
        "notes": models.notes,
        "config": config.to_dict(),
        **versions.describe(),
    }
    (workdir / "reference_models.json").write_text(json.dumps(found, indent=1) + "\n")
    return found


def _table(found: Mapping) -> str:
    """The rows, grouped by access: only equal access is compared."""
    first, access = found["rows"][0], None
    width = max(len(row["title"]) for row in found["rows"])
    lines = [
        f"{first['models']} models, training loss up to {max(found['training_loss']):.2f}, each "
        f"audited with {found['references']} references; n = {first['n_test']:,}, 95% intervals "
        f"{first['interval']}, .500 is chance"
    ]
    for row in found["rows"]:
        if row["access"] != access:
            access = row["access"]
            lines.append(f"\n{access:{width + 2}}  {'AUC':17}  TPR at 1% FPR")
        tpr = "-" if row["tpr_at_fpr"] is None else words.figure(row, "tpr_at_fpr")
        lines.append(f"  {row['title']:{width}}  {words.figure(row, 'auc')}  {tpr}")
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main)
