"""The time in which devices have nothing to do because no batch of images is there."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax

from mint_jax.aad import Extractor


class Waiting:
    """Feeds an extractor and counts the seconds in which its devices waited for a batch.

    While the loader is awaited, the devices work on what was queued before, so that alone is no
    waiting of theirs. A thread notes when each program is done: of a wait for a batch counts what
    lies behind the end of the last program, and all of it where none was queued yet.

    Use it as `with contextlib.closing(Waiting()) as waiting`.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        self._clock, self._began = clock, clock()
        self._thread = ThreadPoolExecutor(1)
        self._done: Future | None = None  # when the last program was done
        self._waits: deque[tuple[float, float, Future | None]] = deque()
        self._seconds = 0.0

    def stream(self, extractor: Extractor, batches: Iterable[Mapping[str, Any]]) -> Iterator:
        """As `extractor.stream` of the images of a loader's batches; the batch is the tag."""
        chunks = ((batch, batch["image"]) for batch in self._awaited(batches))
        return extractor.stream(chunks, self._queued)

    def seconds(self) -> float:
        """Of all batches so far; blocks until all programs but the last are done."""
        while self._waits:
            begin, end, done = self._waits.popleft()
            free = begin if done is None else max(begin, done.result())
            self._seconds += max(0.0, end - free)
        return self._seconds

    def share(self) -> float:
        """Of the time since the beginning."""
        return self.seconds() / max(self._clock() - self._began, 1e-9)

    def close(self) -> None:
        """Ends the thread."""
        self._thread.shutdown()

    def _awaited(self, batches: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        iterator = iter(batches)
        while True:
            begin = self._clock()
            batch = next(iterator, None)
            if batch is None:
                return
            self._waits.append((begin, self._clock(), self._done))
            yield batch

    def _queued(self, results: Mapping[str, jax.Array]) -> None:
        self._done = self._thread.submit(self._finished, results)

    def _finished(self, results: Mapping[str, jax.Array]) -> float:
        jax.block_until_ready(results)
        return self._clock()
