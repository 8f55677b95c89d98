"""Where activations should live while auditors train on them, measured for each layer and size.

    python -m experiments.placement --workdir=DIR [--audited=embedded] [--sizes=1000,4000]

trains one auditor, Vanilla on maxima and CNN on whole maps, whose activations are on the device, in
host memory, in a file of which nothing is cached as an epoch begins ("store"), or extracted from
images of noise whenever they are read ("recomputed"). They take turns; times are medians of an
epoch with its validation, and compilation is not in them. Prints a table in Markdown, and writes
`DIR/placement.json` anew after each row. What `mint_jax.auditors.placement` picks rests on it.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from tqdm import tqdm

from experiments import cli, placing, versions
from experiments.benchmarks import forward
from mint_jax import aad, audited
from mint_jax.errors import InputError

_WORKDIR = flags.DEFINE_string("workdir", None, "folder of placement.json", required=True)
_AUDITED = flags.DEFINE_string("audited", "embedded", "audited model, as `audited.load` takes it")
_SIZES = flags.DEFINE_list("sizes", ["1000", "4000"], "numbers of images")
_TURNS = flags.DEFINE_integer("turns", 3, "trainings with each place", lower_bound=1)
_BATCH = flags.DEFINE_integer("per_device_batch", 64, "images of an extraction", lower_bound=1)


def main(argv: Sequence[str]) -> None:
    """Measures layer by layer."""
    del argv
    sizes, workdir = _sizes(), Path(_WORKDIR.value)
    model = audited.load(_AUDITED.value)
    photos, rows = forward.photos(max(sizes), 112), []
    for reduce, layer in tqdm([*placing.cases(model)], "timing", unit="layer"):
        extractor = aad.make_extractor(model, [layer], reduce, _BATCH.value)
        for size in sizes:
            rows.append(placing.measure(extractor, photos[:size], workdir, _TURNS.value))
            found = {"audited": _AUDITED.value, "rows": rows} | versions.describe()
            (workdir / "placement.json").write_text(json.dumps(found, indent=1) + "\n")
    print("\n".join(placing.lines(rows)))


def _sizes() -> list[int]:
    try:
        sizes = [int(size) for size in _SIZES.value]
    except ValueError as error:
        raise InputError(f"--sizes: {error}") from None
    if not sizes or min(sizes) < 10:
        raise InputError(f"--sizes: 10 images or more, not {','.join(_SIZES.value)}")
    return sizes


if __name__ == "__main__":
    cli.run(main)
