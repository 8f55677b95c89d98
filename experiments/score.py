"""Membership scores of the images of a source, one JSON line an image.

    python -m experiments.score --audited=embedded --images=photos --output=scores.jsonl \
        --auditor=runs/embedded/auditors/matched/neighbour

A line is {"image", "sha256", "score", "error"}; the score is the auditor's membership probability,
null where the image could not be read; lines are in the source's order. A second run continues
where the first one stopped, and the file ends with the same bytes on the same kind of machine.

Any number of processes share the images: docs/launch.md. Each writes lines into a file beside
--output, which are merged at the end. SIGTERM waits for the batch that is under way, then ends the
command with status 143.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from data_pipelines import sources
from experiments import cli, scoring
from mint_jax import aad, audited, auditors, parallel

_AUDITED = flags.DEFINE_string("audited", None, "audited model, as it was trained", required=True)
_AUDITOR = flags.DEFINE_string("auditor", None, "folder of an exported auditor", required=True)
_IMAGES = flags.DEFINE_string("images", None, "source of images, such as a folder", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "file of JSON lines", required=True)
_DETECTOR = flags.DEFINE_string("detector", None, "detector .onnx; the default one if absent")
_BATCH = flags.DEFINE_integer("batch", 32, "images in a step of one device", lower_bound=1)
_WORKERS = flags.DEFINE_integer("workers", 0, "processes that decode; 0: threads", lower_bound=0)


def main(argv: Sequence[str]) -> None:
    """Scores what has no line yet and says how many there were."""
    del argv
    source = sources.open_source(_IMAGES.value, detector=_DETECTOR.value)
    model = audited.load(_AUDITED.value)
    auditor = auditors.load(_AUDITOR.value, audited=model)
    extractor = aad.make_extractor(model, auditor.layers, auditor.reduce, _BATCH.value)
    tally = scoring.score_source(extractor, auditor, source, Path(_OUTPUT.value), _WORKERS.value)
    if not parallel.process_index():
        print(f"{_OUTPUT.value}: {tally}", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main, multihost=True, cores=True)
