"""Scores every image of a source into a file of JSON lines, and takes up where it was stopped."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data_pipelines import loader
from data_pipelines.errors import InputError
from data_pipelines.sources import Subset
from mint_jax.aad import Extractor
from mint_jax.auditors import TrainedAuditor


@dataclass
class Tally:
    """Counts of images: `scored` and `bad` now, `kept` from an earlier run."""

    kept: int = 0
    scored: int = 0
    bad: int = 0

    def __str__(self) -> str:
        earlier = f", {self.kept} were there already" if self.kept else ""
        return f"{self.scored} images scored, {self.bad} bad ones skipped{earlier}"


def score_source(
    extractor: Extractor, auditor: TrainedAuditor, source: Any, output: Path, workers: int = 0
) -> Tally:
    """Appends a line for each image of `source` that has none in `output` yet.

    A line is {"image": key, "sha256": of the file, "score": membership probability, "error": null},
    or a null score and the reason where the image cannot be read.

    Args:
      extractor: of the layers and reduction that `auditor` reads, of its audited model.
      auditor: turns the AAD into scores.
      source: random-access source with `keys` and `sha256(row)`.
      output: file of JSON lines; a last line that was cut off is removed first.
      workers: Grain worker processes that decode.

    Raises:
      InputError: `output` cannot be written or holds something else.
    """
    done = repair(output)
    todo = [row for row, key in enumerate(source.keys) if key not in done]
    tally = Tally(kept=len(source) - len(todo))
    if not todo:
        return tally
    batches = loader.batches(Subset(source, todo), extractor.chunk, workers=workers, keep_bad=True)
    with (
        output.open("a", encoding="utf-8") as file,
        tqdm(total=len(source), initial=tally.kept, desc="scoring", unit="image") as bar,
    ):
        for batch in batches:
            lines = list(_lines(auditor.score(extractor(batch["image"])), batch, source, todo))
            file.write("".join(json.dumps(line) + "\n" for line in lines))
            file.flush()
            bad = sum(line["score"] is None for line in lines)
            tally.bad, tally.scored = tally.bad + bad, tally.scored + len(lines) - bad
            bar.update(len(lines))
    return tally


def _lines(scores: Any, batch: dict, source: Any, todo: list[int]) -> Iterator[dict]:
    """The lines of a batch; rows that are padding have none."""
    rows = zip(batch["index"], batch["_mask"], batch["error"], scores, strict=True)
    for index, good, error, score in rows:
        if good or error:
            row = todo[index]
            yield {
                "image": source.keys[row],
                "sha256": source.sha256(row),
                "score": float(score) if good else None,
                "error": error or None,
            }


def repair(output: Path) -> set[str]:
    """Cuts an unfinished last line off and returns the images that have one.

    Raises:
      InputError: `output` cannot be opened, or holds lines of another kind.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("ab+") as file:
            file.seek(0)
            data = file.read()
            whole = data.rfind(b"\n") + 1
            file.truncate(whole)
    except OSError as error:
        raise InputError(f"{output}: {error.strerror}") from None
    done = set()
    for number, line in enumerate(data[:whole].splitlines(), 1):
        try:
            done.add(json.loads(line)["image"])
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{output}: line {number} is not the score of an image") from None
    return done
