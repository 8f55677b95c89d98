"""Scores every image of a source into a file of JSON lines, and takes up where it was stopped."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from data_pipelines import loader
from data_pipelines.errors import InputError
from data_pipelines.sources import Subset
from experiments import score_files
from experiments.waiting import Waiting
from mint_jax import parallel, preemption
from mint_jax.aad import Extractor
from mint_jax.auditors import TrainedAuditor


@dataclass
class Tally:
    """Counts of images: `scored` and `bad` now, `kept` from an earlier run.

    `waiting` is the share of the time in which the devices waited for images.
    """

    kept: int = 0
    scored: int = 0
    bad: int = 0
    waiting: float = 0.0

    def __str__(self) -> str:
        earlier = f", {self.kept} were there already" if self.kept else ""
        return (
            f"{self.scored} images scored, {self.bad} bad ones skipped{earlier}; "
            f"the devices waited for images {self.waiting:.0%} of the time"
        )

    def of_all_processes(self) -> "Tally":
        """The sum over all processes, when the last of them is done, and their mean waiting."""
        parallel.barrier("scored")
        counts = parallel.gather(np.array([self.kept, self.scored, self.bad], np.int32))
        waiting = parallel.gather(np.array(self.waiting, np.float32))
        return Tally(*counts.sum(axis=0).tolist(), waiting.mean().item())


def score_source(
    extractor: Extractor, auditor: TrainedAuditor, source: Any, output: Path, workers: int = 0
) -> Tally:
    """Adds a line for each image of `source` that has none in `output` yet, with all processes.

    A line is {"image": key, "sha256": of the file, "score": membership probability, "error": null},
    or a null score and the reason where the image cannot be read. In the end they are in the
    source's order.

    Args:
      extractor: of the layers and reduction that `auditor` reads, of its audited model.
      auditor: turns the AAD into scores.
      source: random-access source with `keys` and `sha256(row)`.
      output: file of JSON lines; what a run that was stopped left beside it is taken up.
      workers: Grain worker processes that decode.

    Returns:
      the counts of all processes.

    Raises:
      InputError: `output` cannot be written or holds something else, or a process did not see it.
    """
    index, count = parallel.process_index(), parallel.process_count()
    extractor = extractor.suited(len(source))
    done = np.zeros(len(source), bool) if index else score_files.merge(output, source.keys)
    parallel.barrier("lines of earlier runs")
    done = parallel.gather(done)[0]
    # A block always begins a device's batch, whoever computes it and however often, because the
    # last bits of convolutions depend on an image's place there.
    size = extractor.chunk // parallel.device_count()
    begins = np.arange(0, len(source), size)
    blocks = begins // size % count == index
    own = np.repeat(blocks, size)[: len(source)]
    blocks &= np.logical_or.reduceat(~done, begins)
    todo = np.flatnonzero(np.repeat(blocks, size)[: len(source)])
    tally = Tally(kept=int(done[own].sum()))
    if len(todo):
        with (
            score_files.appending(output, index, count) as file,
            tqdm(total=own.sum(), initial=tally.kept, desc="scoring", unit="image") as bar,
            contextlib.closing(Waiting()) as waiting,
            contextlib.closing(
                _lines(extractor, auditor, source, todo, done, workers, waiting)
            ) as batches,
            preemption.listening() as stopped,
        ):
            for lines in batches:
                file.write("".join(json.dumps(line) + "\n" for line in lines))
                file.flush()
                bad = sum(line["score"] is None for line in lines)
                tally.bad, tally.scored = tally.bad + bad, tally.scored + len(lines) - bad
                bar.update(len(lines))
                if stopped():
                    break
            tally.waiting = waiting.share()
    tally = tally.of_all_processes()
    if not index and not done.all():
        left = np.sum(~score_files.merge(output, source.keys))
        if left:
            raise InputError(
                f"{output}: {left} images have no line, though all processes are done: "
                "each of them must see this folder"
            )
    return tally


def _lines(
    extractor: Extractor,
    auditor: TrainedAuditor,
    source: Any,
    todo: np.ndarray,
    done: np.ndarray,
    workers: int,
    waiting: Waiting,
) -> Iterator[list[dict]]:
    """Computes the rows `todo` and yields the lines of each batch, without those of rows `done`."""
    size = extractor.chunk // parallel.device_count()
    batches = loader.batches(Subset(source, todo), extractor.chunk, workers=workers, keep_bad=True)
    with contextlib.closing(batches):
        for batch, _, values in waiting.stream(extractor, batches):
            scores = [
                auditor.score(jax.tree.map(lambda x, begin=begin: x[begin : begin + size], values))
                for begin in range(0, extractor.chunk, size)
            ]
            rows = zip(todo[batch["index"]], batch["_mask"], batch["error"], np.concatenate(scores))
            yield [
                _line(source, row, score, error)
                for row, good, error, score in rows
                if (good or error) and not done[row]
            ]


def _line(source: Any, row: int, score: np.float32, error: str) -> dict:
    return {
        "image": source.keys[row],
        "sha256": source.sha256(int(row)),
        "score": None if error else float(score),
        "error": error or None,
    }
