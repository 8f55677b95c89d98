"""Builds a database as it is downloaded into a TFDS dataset of aligned faces.

    python -m experiments.build_database --source=ijbc:IJB_release/IJBC --data_dir=databases

Images that are aligned already keep their bytes; the others are cut out once, so that no detector
runs when the dataset is read. Images that cannot be read are left out and listed, with the reasons,
in the dataset's quarantine.jsonl. A dataset that is there already is not built again; one whose
build was interrupted is.
"""

from collections.abc import Sequence

from absl import flags, logging

from data_pipelines import sources
from data_pipelines.databases import builders, built
from experiments import cli

_SOURCE = flags.DEFINE_string(
    "source",
    None,
    "what to build: adience:DIR, fddb:DIR, gandiffface:DIR, glint360k:DIR, ijbc:DIR, a folder of "
    "images, the prefix of a .rec file, or a .bin pack",
    required=True,
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "folder of TFDS datasets", required=True)
_ALIGN = flags.DEFINE_enum(
    "align",
    "auto",
    ["auto", "always", "never"],
    "auto: what is not 112x112, by the database's landmarks or else the detector's; always: "
    "everything by the detector's; never: only resize",
)
_DETECTOR = flags.DEFINE_string("detector", None, "detector .onnx; the default detector if absent")
_QUALITY = flags.DEFINE_integer(
    "quality", None, "JPEG quality for every face", lower_bound=1, upper_bound=100
)


def main(argv: Sequence[str]) -> None:
    """Builds, and says where the dataset is, what it holds and how to name it."""
    del argv
    logging.set_verbosity(logging.ERROR)  # TFDS warns of every configuration that it does not know
    source = sources.open_source(
        _SOURCE.value, align=_ALIGN.value, detector=_DETECTOR.value, quality=_QUALITY.value
    )
    folder = builders.build(source, _DATA_DIR.value).resolve()
    images, bad = len(built.open_built(folder)), len(built.quarantine(folder))
    left_out = f", {bad} left out: {folder / built.QUARANTINE}" if bad else ""
    print(f"{images} images{left_out}\ntfds:{folder}")


if __name__ == "__main__":
    cli.run(main)
