"""Verdicts about the photos of a source, by the auditor that an audit chose.

    python -m experiments.verdict --audited=embedded --images=photos --workdir=runs/verdict \
        --auditor=runs/embedded/auditors/matched/chosen

writes WORKDIR/verdicts.jsonl, a line a photo, and an evidence bundle of each of the first hundred,
WORKDIR/bundles/0/bundle.json and so on, which `experiments.verify_bundle` checks. `--by=person`
writes a line for each person of the source, and `--by=siblings --published=KEY` one line, about a
photo among the others of the source, which are of the same shoot and were not published.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from data_pipelines import sources
from data_pipelines.errors import InputError
from experiments import cli, verdicts
from mint_jax import aad, audited, auditors

_AUDITED = flags.DEFINE_string("audited", None, "audited model, as it was trained", required=True)
_AUDITOR = flags.DEFINE_string("auditor", None, "AUDIT/auditors/PROTOCOL/chosen", required=True)
_IMAGES = flags.DEFINE_string("images", None, "source of images, such as a folder", required=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "where the verdicts go", required=True)
_ALPHA = flags.DEFINE_float("alpha", 0.05, "level of each test", lower_bound=0, upper_bound=1)
_BY = flags.DEFINE_enum("by", "image", ["image", "person", "siblings"], "whom a verdict is about")
_PUBLISHED = flags.DEFINE_string("published", None, "key of the photo that may have been used")
_DETECTOR = flags.DEFINE_string("detector", None, "detector .onnx; the audit's if absent")
_BATCH = flags.DEFINE_integer("batch", 32, "images in a step of one device", lower_bound=1)
_WORKERS = flags.DEFINE_integer("workers", 0, "processes that decode; 0: threads", lower_bound=0)


def main(argv: Sequence[str]) -> None:
    """Reads the source once, writes a line a verdict, and says how many there are of which."""
    del argv
    if (_BY.value == "siblings") != (_PUBLISHED.value is not None):
        raise InputError("--by=siblings needs --published=KEY, and nothing else takes it")
    output = verdicts.prepare(_WORKDIR.value)
    model, folder = audited.load(_AUDITED.value), Path(_AUDITOR.value)
    judge = verdicts.Judge(folder, auditors.load(folder, audited=model), _ALPHA.value)
    preparation = judge.preparation | ({"detector": _DETECTOR.value} if _DETECTOR.value else {})
    source = sources.open_source(_IMAGES.value, **preparation)
    if _PUBLISHED.value and _PUBLISHED.value not in source.keys:
        raise InputError(f"{_IMAGES.value}: no image {_PUBLISHED.value} in it")
    extractor = aad.make_extractor(model, judge.auditor.layers, judge.auditor.reduce, _BATCH.value)
    seen = verdicts.read(judge, extractor, source, _WORKERS.value)
    if _BY.value == "person":
        lines = verdicts.by_person(judge, seen)
    elif _BY.value == "siblings":
        lines = [verdicts.by_siblings(judge, seen, _PUBLISHED.value)]
    else:
        lines = verdicts.by_image(judge, seen, model, output.parent)
    print(f"{output}: {verdicts.write(output, lines)}", file=sys.stderr)
    if judge.withheld:
        print(f"{folder}: {judge.withheld}", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main)
