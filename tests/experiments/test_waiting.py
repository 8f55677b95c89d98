"""Waiting for images: time moves only where a test moves it."""

import contextlib
import threading

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.waiting import Waiting
from mint_jax import aad

WAIT = 10  # seconds of a real clock, after which a test fails rather than hangs


class Clock:
    """Seconds that stand still; it notes when another thread has read it."""

    def __init__(self):
        self.now, self.seen = 0.0, threading.Semaphore(0)

    def __call__(self):
        now = self.now
        if threading.current_thread() is not threading.main_thread():
            self.seen.release()
        return now


class Machine(aad.Extractor):
    """Programs that are done when a test says so, or when they are read."""

    chunk = 1

    def __init__(self, clock, seconds=0.0):
        self._clock, self._seconds, self.programs = clock, seconds, []

    def start(self, images):
        self.programs.append(Program(jnp.asarray(images)))
        return self.programs[-1]

    def _finish(self, tag, images, out):
        if not out.ready.is_set():
            self.finish(self._clock.now + self._seconds)
        return tag, images, {"x": np.asarray(out.values)}

    def finish(self, at):
        """Ends the oldest program that is not done, at a time."""
        self._clock.now = at
        next(p for p in self.programs if not p.ready.is_set()).ready.set()
        assert self._clock.seen.acquire(timeout=WAIT)


class Program:
    def __init__(self, values):
        self.values, self.ready = values, threading.Event()

    def block_until_ready(self):
        assert self.ready.wait(WAIT)
        return self


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def waiting(clock):
    with contextlib.closing(Waiting(clock)) as waiting:
        yield waiting


def batches(count, before=lambda row: None):
    for row in range(count):
        before(row)
        yield {"image": np.full((1, 2, 2, 3), row, np.uint8), "row": row}


def test_a_slow_source_is_waited_for(clock, waiting):
    machine = Machine(clock)

    def slow(row):
        if row:
            machine.finish(clock.now)  # long before the next batch is there
        clock.now += 2.0

    stream = waiting.stream(machine, batches(4, slow))
    assert [(batch["row"], values["x"].max()) for batch, _, values in stream] == [
        (row, row) for row in range(4)
    ]
    assert waiting.seconds() == 8.0 and waiting.share() == 1.0


def test_a_ready_source_is_not(clock, waiting):
    machine = Machine(clock, seconds=2.0)
    assert len(list(waiting.stream(machine, batches(4)))) == 4
    assert clock.now == 8.0 and waiting.seconds() == 0.0 == waiting.share()


def test_what_devices_still_do_is_no_waiting(clock, waiting):
    machine = Machine(clock)

    def before(row):
        if row == 1:  # a wait of 5 seconds, the program before it done after 3 of them
            machine.finish(at=3.0)
            clock.now = 5.0
        if row == 2:  # a wait of 4 seconds, in which the program before it is not done
            clock.now = 9.0

    stream = waiting.stream(machine, batches(3, before))
    assert next(stream)[0]["row"] == 0
    machine.finish(at=10.0)
    assert waiting.seconds() == 2.0
    assert len(list(stream)) == 2
    assert waiting.seconds() == 2.0 and waiting.share() == 0.2


def test_a_program_that_fails_says_so(waiting):
    class Broken(Machine):
        def start(self, images):
            return Failing()

        def _finish(self, tag, images, out):
            raise ArithmeticError("read")

    class Failing:
        def block_until_ready(self):
            raise ArithmeticError("done")

    with pytest.raises(ArithmeticError, match="read"):
        list(waiting.stream(Broken(None), batches(1)))
