"""A load test of the platform: many clients at one time, and an end while it is busy."""

import asyncio
import math
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import numpy as np
from tqdm import tqdm

from experiments import load_clients
from experiments.load_clients import Figures, Outcome, Upload
from experiments.load_server import resident

_MINUTE = 60  # samples of memory, one a second
_LAST = 3  # photos that each client sends while the server ends
_END = 60.0  # seconds; the platform gives requests 30


async def run(
    address: str,
    clients: int,
    seconds: float,
    *,
    bad: float = 0.1,
    server: subprocess.Popen | None = None,
) -> dict[str, Any]:
    """Loads a server that nobody else uses meanwhile.

    Args:
      address: of the server, as a URL.
      clients: at one time.
      seconds: for which they send requests.
      bad: share of their uploads that are no photos.
      server: its process, whose memory is watched and which is ended while it is busy; None where
        it is left alone.

    Returns:
      JSON-able {"clients", ..., "memory_mb", "counters", "shutdown", "failures"}: what `summary`
      gives, `memory` of the process, {"server", "clients", "agree"} of the answers by status that
      the server counted, None where it does not say, and what `end` gives; "failures" are
      sentences, none where the server stood the test.

    Raises:
      InputError: what `load_clients.connect` and `load_clients.ready` raise.
    """
    async with load_clients.connect(address) as http:
        await load_clients.ready(http)
        photos = await load_clients.photos(http)
        before = await load_clients.figures(http)
        outcomes: list[Outcome] = []
        samples: list[float] = []
        began = time.monotonic()
        watching = asyncio.create_task(_watch(seconds, server, outcomes, samples))
        living = (
            load_clients.live(http, number, began + seconds, photos, bad, outcomes.append)
            for number in range(clients)
        )
        await asyncio.gather(*living)
        found = summary(outcomes, time.monotonic() - began)
        watching.cancel()
        found["memory_mb"] = memory(samples)
        found["counters"] = before and await _compare(http, before, found["statuses"])
        found["shutdown"] = server and await end(http, photos, clients, server)
    return {"clients": clients, **found, "failures": failures(found)}


def summary(outcomes: Sequence[Outcome], seconds: float) -> dict[str, Any]:
    """Counts requests.

    Args:
      outcomes: of all requests.
      seconds: that all of them took together.

    Returns:
      JSON-able {"seconds", "requests": {"sent", "answered", "lost", "wrong"}, "statuses": {status:
      requests}, "faults": {reason: requests lost or answered wrongly}, "good": {"requests",
      "photos", "photos_per_second", "latency": {"median", "p95", "p99", "max"}}}. The last is about
      photos that were examined; latency is in seconds, and None where there were none.
    """
    lost, wrong = [o for o in outcomes if o.lost], [o for o in outcomes if o.wrong]
    good = [o for o in outcomes if o.upload.good and o.status == 200 and not o.wrong]
    photos, latency = sum(len(o.upload.files) for o in good), None
    if good:
        taken = np.quantile([o.seconds for o in good], [0.5, 0.95, 0.99, 1]).tolist()
        latency = dict(zip(("median", "p95", "p99", "max"), taken))
    return {
        "seconds": seconds,
        "requests": {
            "sent": len(outcomes),
            "answered": len(outcomes) - len(lost),
            "lost": len(lost),
            "wrong": len(wrong),
        },
        "statuses": _sorted(Counter(str(o.status) for o in outcomes if o.status)),
        "faults": dict(Counter(o.lost or o.wrong for o in lost + wrong).most_common()),
        "good": {
            "requests": len(good),
            "photos": photos,
            "photos_per_second": photos / seconds,
            "latency": latency,
        },
    }


def memory(samples: Sequence[float]) -> dict[str, Any] | None:
    """What a second-by-second record of memory says; None of an empty one."""
    if not samples:
        return None
    return {
        "start": samples[0],
        "first_minute": float(np.median(samples[:_MINUTE])),
        "last_minute": float(np.median(samples[-_MINUTE:])),
        "peak": max(samples),
        "samples": len(samples),
    }


async def end(
    http: httpx.AsyncClient, photos: Sequence[bytes], clients: int, server: subprocess.Popen
) -> dict[str, Any]:
    """Tells the server to end once it has let in a request of every client.

    Returns:
      JSON-able {"in_flight", "sent", "lost", "faults", "seconds", "exit_status"}: requests that had
      no answer when it was told, all of that time, those without a right answer and why, and until
      the process was gone; None if it never was.
    """
    before = await load_clients.figures(http)
    upload = Upload([photos[n % len(photos)] for n in range(_LAST)], True)
    asking = [
        asyncio.create_task(load_clients.ask(http, number, upload)) for number in range(clients)
    ]
    in_flight = await _let_in(http, before, asking) if before else 0
    began = time.monotonic()
    server.terminate()
    outcomes = await asyncio.gather(*asking)
    try:
        status = await asyncio.to_thread(server.wait, _END)
    except subprocess.TimeoutExpired:
        status = None
    faults = [o.lost or o.wrong for o in outcomes if o.lost or o.wrong]
    return {
        "in_flight": in_flight,
        "sent": len(asking),
        "lost": len(faults),
        "faults": dict(Counter(faults).most_common()),
        "seconds": time.monotonic() - began,
        "exit_status": status,
    }


def failures(found: Mapping[str, Any]) -> list[str]:
    """A sentence for each way in which a server did not stand the test that `run` describes."""
    requests, counters, shutdown = found["requests"], found["counters"], found["shutdown"]
    failed = []
    if requests["lost"] or requests["wrong"]:
        failed.append(
            f"of {requests['sent']} requests {requests['lost']} were lost and {requests['wrong']} "
            f"answered wrongly: {_listed(found['faults'])}"
        )
    if not found["good"]["requests"]:
        failed.append("no photo was examined")
    if counters and not counters["agree"]:
        failed.append(
            f"the server counted {_listed(counters['server'])}, "
            f"its clients saw {_listed(counters['clients'])}"
        )
    if shutdown and shutdown["lost"]:
        failed.append(
            f"of {shutdown['sent']} requests {shutdown['lost']} were lost when the server ended: "
            f"{_listed(shutdown['faults'])}"
        )
    elif shutdown and not shutdown["in_flight"]:
        failed.append("no request was in flight when the server was told to end")
    if shutdown and shutdown["exit_status"] not in (0, -signal.SIGTERM):
        failed.append(f"the server ended with {shutdown['exit_status']}")
    return failed


async def _watch(
    seconds: float,
    server: subprocess.Popen | None,
    outcomes: Sequence[Outcome],
    samples: list[float],
) -> None:
    """Shows how far the test is, and samples the memory of the server each second."""
    with tqdm(total=math.ceil(seconds), desc="loading", unit="s") as bar:
        while True:
            size = resident(server.pid) if server else None
            samples += [size] if size is not None else []
            bar.set_postfix(requests=len(outcomes), lost=sum(bool(o.lost) for o in outcomes))
            await asyncio.sleep(1)
            bar.update(bar.n < bar.total)


async def _compare(
    http: httpx.AsyncClient, before: Figures, seen: Mapping[str, int]
) -> dict[str, Any] | None:
    """The server's count beside the clients'; it counts an answer just after it has sent it."""
    for _ in range(20):
        now = await load_clients.figures(http)
        if now is None:
            return None
        counted = _sorted(now.answered - before.answered)
        if counted == seen:
            break
        await asyncio.sleep(0.1)
    return {"server": counted, "clients": seen, "agree": counted == seen}


async def _let_in(http: httpx.AsyncClient, before: Figures, asking: Sequence[asyncio.Task]) -> int:
    """Waits until every request was let in; how many of them are not answered.

    A server that ends owes nothing to a request that it has not begun to read.
    """
    while not all(task.done() for task in asking):
        now = await load_clients.figures(http)
        if now is None:
            return 0
        answered = (now.answered - before.answered).total()
        if now.inside and now.inside + answered >= len(asking):
            return now.inside
        await asyncio.sleep(0.01)
    return 0


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} x {name}" for name, count in counts.items()) or "nothing"
