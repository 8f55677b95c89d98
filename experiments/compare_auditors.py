"""Auditors where the truth is known: each on models of the lab, beside the published scores.

    python -m experiments.compare_auditors --config=experiments/configs/compare_auditors.py \
        --workdir=DIR

trains models on random halves of databases, the labs. An auditor knows the truth about half of the
people and is asked about the others. The auditor of a lab's summary is the one without a head that
is best on the models that choose; all figures are those of the other models.

`DIR/compare.json` holds every figure, and `DIR/LAB.svg` shows a lab. A run that was stopped goes on
behind the last epoch, reading or finished lab.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from experiments import cli, comparison, comparison_plots, lab_pairs, versions
from mint_jax.report import words

_CONFIG = config_flags.DEFINE_config_file("config", None, "Labs and auditors.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of models and of compare.json.")
flags.mark_flags_as_required(["config", "workdir"])
_PERSON = {
    "person": "people, by the mean of their photos",
    "image_given_person": "used photos among a person's own",
}


def main(argv: Sequence[str]) -> None:
    """Trains what is missing, compares, and prints a table a lab."""
    del argv
    found = run(_CONFIG.value, Path(_WORKDIR.value))
    print("\n\n".join("\n".join(table(lab)) for lab in found["labs"].values()))


def run(config: ConfigDict, workdir: Path) -> dict:
    """Compares on all labs, and writes `workdir/compare.json` and a plot a lab.

    Args:
      config: see `experiments/configs/compare_auditors.py`.
      workdir: gets a folder of each lab, in which are its models, `00/`, `02/` and so on.

    Returns:
      The content of the file: {"labs": {name: {"title", "by", "input_size", "photos", "people",
      "models" and "validation": which are tested and which choose, "training_loss": [of each
      model's last epoch], "chosen": auditor, "rows": [{"name", "title", "access", and what
      `comparison.Bench.measure` says}], "coverage": [{"coverage", and what `metrics.over_models`
      says of the chosen one}], "zoo": [{"references", "r2", "r2_range", and what `measure` says of
      the fused score given theirs}], "prototypes": {"cosine", "cosine_range", "auc", "auc_ci95",
      "models"} or None, "notes"}}, "config", "date", "device", "versions"}.

    Raises:
      InputError: what `lab_pairs.Models` raises.
    """
    labs = {name: _compared(name, config, workdir) for name in config.labs}
    found = {"labs": labs, "config": config.to_dict(), **versions.describe()}
    (workdir / "compare.json").write_text(json.dumps(found, indent=1) + "\n")
    for name, lab in labs.items():
        (workdir / f"{name}.svg").write_text(comparison_plots.picture(lab))
    return found


def _compared(name: str, config: ConfigDict, workdir: Path) -> dict:
    """An entry of "labs", out of the lab's folder where it was finished with this configuration."""
    lab, folder = config.labs[name], workdir / name
    asked = config.to_dict() | {"labs": {name: lab.to_dict()}}
    asked = json.loads(json.dumps(asked))
    path = folder / "compare.json"
    if path.exists():
        kept = json.loads(path.read_text())
        if kept["config"] == asked:
            return kept["found"]
    models = lab_pairs.Models(lab, folder, workdir / "photos", config.workers)
    found = comparison.compare(models, lab, config)
    path.write_text(json.dumps({"config": asked, "found": found}) + "\n")
    return found


def table(found: Mapping) -> Iterator[str]:
    """Lines of a lab's table, grouped by access: only equal access is compared."""
    first, access = found["rows"][0], None
    width = max(len(row["title"]) for row in found["rows"])
    yield (
        f"{found['title']}: {first['models']} models at {found['input_size']} pixels, training "
        f"loss up to {max(found['training_loss']):.2f}, n = {first['n_test']:,}, 95% intervals "
        f"{first['interval']}, .500 is chance"
    )
    for row in found["rows"]:
        if row["access"] != access:
            access = row["access"]
            yield f"\n{access:{width + 2}}  {'AUC':17}  TPR at 1% FPR"
        yield f"  {row['title']:{width}}  {_figures(row)}"
    chosen = next(row for row in found["rows"] if row["name"] == found["chosen"])
    yield (
        f"\nchosen, AUC {words.rate(chosen['validation_auc'])} on other models "
        f"({len(found['validation'])}): {chosen['title']}"
    )
    for key, title in _PERSON.items():
        if key in chosen:
            yield f"  {title}, n = {chosen[key]['n_test']:,}: {_figures(chosen[key])}"
    for row in found["coverage"]:
        yield f"  {words.percent(row['coverage'])} of the people known: {_figures(row)}"
    for row in found["zoo"][1:]:
        yield (
            f"  fusion given {row['references']} reference models (R2 {words.rate(row['r2'])}): "
            f"{_figures(row)}"
        )
    if found["prototypes"]:
        cosine = words.rate(found["prototypes"]["cosine"])
        yield f"  estimated prototypes, cosine {cosine}: {words.figure(found['prototypes'], 'auc')}"


def _figures(row: Mapping) -> str:
    tpr = "-" if row["tpr_at_fpr"] is None else words.figure(row, "tpr_at_fpr")
    return f"{words.figure(row, 'auc')}  {tpr}"


if __name__ == "__main__":
    cli.run(main)
