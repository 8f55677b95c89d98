"""The platform behind a real port: many clients, and an end that loses nobody."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from demonstrator.brightness import Brightness, photos, picture
from demonstrator.servers import served

from mint_jax.demonstrator import Limits, create_app


def _post(address: str, brightness: int) -> float:
    files = photos(picture(brightness))
    answer = httpx.post(f"{address}/api/v1/run", files=files, timeout=60)
    assert answer.status_code == 200, answer.text
    return 255 * answer.json()["photos"][0]["faces"][0]["models"][0]["score"]


def test_requests_of_many_clients_share_batches_and_keep_apart():
    examiner = Brightness()
    app = create_app(examiner, limits=Limits(wait=0.1))
    with served(app) as (_, address), ThreadPoolExecutor(8) as pool:
        asked = range(0, 240, 10)
        found = list(pool.map(lambda brightness: _post(address, brightness), asked))
    assert found == pytest.approx(list(asked))
    assert sum(examiner.batches) == 1 + len(asked) and len(examiner.batches) < len(asked)
    assert len(examiner.threads) == 1


def test_an_orderly_end_finishes_what_runs():
    examiner, found = Brightness(), []
    with served(create_app(examiner)) as (server, address):
        while httpx.get(f"{address}/readyz").status_code != 200:
            pass
        examiner.open.clear()
        asking = threading.Thread(target=lambda: found.append(_post(address, 77)))
        asking.start()
        while "mint_requests_inside 1.0" not in httpx.get(f"{address}/metrics").text:
            pass
        server.should_exit = True
        asking.join(0.3)
        assert asking.is_alive()
        examiner.open.set()
        asking.join()
    assert found == pytest.approx([77])
