"""One thread owns the networks; faces of requests that arrive together are read together."""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

from mint_jax.demonstrator.examiner import Examiner, Face, Finding
from mint_jax.demonstrator.limits import Limits

_LOG = logging.getLogger("mint_jax.demonstrator")


class _Job(NamedTuple):
    faces: Sequence[Face]
    together: bool
    answer: Future


class Worker:
    """Calls `examiner.judge` and `examiner.combine`, one at a time.

    Attributes:
      ready: set once the networks have read a first face, which compiles them.
    """

    def __init__(self, examiner: Examiner, limits: Limits, batched: Callable[[int], Any]):
        """`batched` is told the number of faces of each batch."""
        self._examiner, self._limits, self._batched = examiner, limits, batched
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.ready = threading.Event()

    def start(self, first: Face) -> None:
        """Starts the thread, which judges `first` before anything else."""
        # a daemon: where a deployment gives up waiting for the end, the process still ends
        self._thread = threading.Thread(target=self._work, args=(first,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Returns when all that was asked for is answered."""
        self._jobs.put(None)
        self._thread.join()

    def waiting(self) -> int:
        """Jobs that nobody has begun."""
        return self._jobs.qsize()

    async def judge(self, faces: Sequence[Face]) -> list[list[Finding]]:
        """`examiner.judge`; of a request that is cancelled before its turn nothing is computed."""
        return await asyncio.wrap_future(self._put(faces, False))

    async def combine(self, faces: Sequence[Face]) -> list[Finding]:
        """`examiner.combine`"""
        return await asyncio.wrap_future(self._put(faces, True))

    def _put(self, faces: Sequence[Face], together: bool) -> Future:
        job = _Job(faces, together, Future())
        self._jobs.put(job)
        return job.answer

    def _work(self, first: Face) -> None:
        try:
            self._examiner.judge([first])
            self.ready.set()
        except Exception as error:
            _LOG.error('{"event": "not ready", "error": "%s"}', type(error).__name__)
        running = True
        while running:
            jobs = list(self._gather())
            running = None not in jobs
            jobs = [job for job in jobs if job and job.answer.set_running_or_notify_cancel()]
            self._answer([job for job in jobs if not job.together], self._judge)
            for job in jobs:
                if job.together:
                    self._answer([job], lambda own: [self._examiner.combine(own[0].faces)])

    def _gather(self) -> Iterator[_Job | None]:
        """Waits for a job, then briefly for others until the batch is full; None is the last."""
        job, until, faces = self._jobs.get(), time.monotonic() + self._limits.wait, 0
        while True:
            yield job
            faces += len(job.faces) if job else self._limits.batch
            if faces >= self._limits.batch:
                return
            try:
                job = self._jobs.get(timeout=max(0, until - time.monotonic()))
            except queue.Empty:
                return

    def _judge(self, jobs: Sequence[_Job]) -> list[list[list[Finding]]]:
        faces, found = [face for job in jobs for face in job.faces], []
        for start in range(0, len(faces), self._limits.batch):
            batch = faces[start : start + self._limits.batch]
            self._batched(len(batch))
            found += self._examiner.judge(batch)
        rest = iter(found)
        return [[next(rest) for _ in job.faces] for job in jobs]

    def _answer(self, jobs: Sequence[_Job], compute: Callable) -> None:
        """Answers jobs together; where that fails each alone, so that one spoils no other."""
        try:
            found = compute(jobs) if jobs else []
        except Exception as error:
            if len(jobs) == 1:
                jobs[0].answer.set_exception(error)
                return
            for job in jobs:
                self._answer([job], compute)
        else:
            for job, answer in zip(jobs, found):
                job.answer.set_result(answer)
