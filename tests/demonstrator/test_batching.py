"""One thread, full batches, everybody's own answer, and an orderly end."""

import asyncio
import threading
import time

import numpy as np
import pytest
from demonstrator.brightness import Brightness

from mint_jax.demonstrator.batching import Worker
from mint_jax.demonstrator.examiner import Face
from mint_jax.demonstrator.limits import Limits


def _face(brightness: int) -> Face:
    return Face((0, 0, 1, 1), np.full((112, 112, 3), brightness, np.uint8), (0.0, 0.0))


@pytest.fixture
def start():
    workers = []

    def make(examiner, **limits):
        worker = Worker(examiner, Limits(**limits), lambda faces: None)
        worker.start(_face(0))
        workers.append(worker)
        return worker

    yield make
    for worker in workers:
        worker.stop()


def test_requests_share_batches_and_get_their_own_answers(start):
    examiner = Brightness()
    worker = start(examiner, wait=0.5, batch=8)
    assert worker.ready.wait(20)
    shapes = [1, 3, 2, 2, 5, 1]

    async def ask(first: int, count: int) -> list[float]:
        found = await worker.judge([_face(first + i) for i in range(count)])
        return [findings[0].score for findings in found]

    async def everybody() -> list[list[float]]:
        return await asyncio.gather(*(ask(20 * i, n) for i, n in enumerate(shapes)))

    scores = asyncio.run(everybody())
    for i, (own, count) in enumerate(zip(scores, shapes)):
        assert own == pytest.approx([(20 * i + j) / 255 for j in range(count)])
    batches = examiner.batches[1:]  # the first is the face that compiles
    assert sum(batches) == sum(shapes)
    assert len(batches) < len(shapes) and max(batches) == 8
    assert len(examiner.threads) == 1


def test_combined_evidence_has_the_same_thread(start):
    examiner = Brightness()
    worker = start(examiner)

    async def both():
        faces = [_face(100), _face(100), _face(200)]
        return await asyncio.gather(worker.combine(faces), worker.judge(faces))

    together, each = asyncio.run(both())
    assert together[0].score == pytest.approx(150 / 255)
    assert [findings[0].score * 255 for findings in each] == pytest.approx([100, 100, 200])
    assert len(examiner.threads) == 1


def test_an_error_reaches_those_who_asked_and_nobody_else(start):
    class Broken(Brightness):
        def judge(self, faces):
            if 66 in [face.image.max() for face in faces]:
                raise ZeroDivisionError
            return super().judge(faces)

    worker = start(Broken(), wait=0.2)

    async def both():
        asked = (worker.judge([_face(brightness)]) for brightness in (65, 66, 67))
        return await asyncio.gather(*asked, return_exceptions=True)

    first, broken, last = asyncio.run(both())
    assert isinstance(broken, ZeroDivisionError)
    assert first[0][0].score * 255 == pytest.approx(65)
    assert last[0][0].score * 255 == pytest.approx(67)


def test_it_is_not_ready_where_the_first_face_fails(start):
    class Broken(Brightness):
        def judge(self, faces):
            if faces[0].image.max() == 0:
                raise ZeroDivisionError
            return super().judge(faces)

    worker = start(Broken())
    asyncio.run(worker.judge([_face(67)]))
    assert not worker.ready.is_set()


def test_a_request_that_gave_up_is_not_computed(start):
    examiner = Brightness()
    examiner.open.clear()
    worker = start(examiner, wait=0.0)  # the first face keeps the thread busy

    async def give_up():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(worker.judge([_face(1)] * 3), 0.05)

    asyncio.run(give_up())
    examiner.open.set()
    asyncio.run(worker.judge([_face(2)]))
    assert examiner.batches == [1, 1]


def test_what_was_asked_for_is_answered_before_the_end():
    examiner = Brightness()
    examiner.open.clear()
    worker = Worker(examiner, Limits(wait=0.0), lambda faces: None)
    worker.start(_face(0))

    async def ask():
        found = asyncio.ensure_future(worker.judge([_face(9)]))
        await asyncio.sleep(0)
        ending = threading.Thread(target=worker.stop)
        ending.start()
        time.sleep(0.05)
        assert ending.is_alive() and not found.done()
        examiner.open.set()
        await found
        await asyncio.to_thread(ending.join)

    asyncio.run(ask())
    assert not worker.waiting()
