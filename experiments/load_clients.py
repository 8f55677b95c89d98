"""Clients of the platform, and what came of each of their requests.

A client has an address of its own. It sends photos, waits as its rate limit and `Retry-After` want
it, and sends others; a share of its uploads are no photos, and have to be refused.
"""

import asyncio
import ipaddress
import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

import httpx
import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from data_pipelines import images
from data_pipelines.databases.synthetic_faces import SyntheticFaces
from mint_jax.demonstrator import Limits, schema
from mint_jax.demonstrator.uploads import FIELD
from mint_jax.errors import InputError

_RUN = "/api/v1/run"
_PAUSE = 1 / Limits().rate  # seconds between requests of a client that stays within its rate
_PHOTOS = (1, 1, 1, 2, 3)  # of a request, each as likely as the others
_NETWORK = ipaddress.ip_address("198.18.0.0")  # for benchmarks: RFC 2544
_PATIENCE = 90.0  # seconds, as the proxy of docs/deploy.md; the platform itself gives up after 60
_IDLE = 2.0  # seconds that a connection is kept; the server closes it after 5, at any moment
_READY = 60  # seconds
_FACES = 8  # rendered for a server without examples


class Upload(NamedTuple):
    """The files of a request, and whether they are photos of faces, all of them."""

    files: Sequence[bytes]
    good: bool


class Outcome(NamedTuple):
    """What came of a request.

    Attributes:
      upload: what was sent.
      status: of HTTP; 0 where nothing came.
      seconds: from sending until the whole answer was there.
      lost: why it counts as lost, which a request that was told "busy" does not; else empty.
      wrong: why the answer is not one to that upload; else empty.
      retry: seconds for which the server wants to be left alone.
    """

    upload: Upload
    status: int
    seconds: float
    lost: str = ""
    wrong: str = ""
    retry: float = 0.0


class Figures(NamedTuple):
    """What /metrics tells: answered uploads {status: n}, and those that are being handled."""

    answered: Counter[str]
    inside: int


def connect(address: str) -> httpx.AsyncClient:
    """Connections to a server, by none of the proxies of this machine.

    Raises:
      InputError: an address that is none.
    """
    limits = httpx.Limits(keepalive_expiry=_IDLE)
    try:
        return httpx.AsyncClient(
            base_url=address, timeout=_PATIENCE, limits=limits, trust_env=False
        )
    except httpx.InvalidURL as error:
        raise InputError(f"{address}: {error}") from None


async def ready(http: httpx.AsyncClient) -> None:
    """Returns once the server can judge.

    Raises:
      InputError: it cannot be reached, is no such server, or does not get ready in a minute.
    """
    until = time.monotonic() + _READY
    while True:
        try:
            answer = await http.get("/readyz")
        except httpx.HTTPError as error:
            raise InputError(f"{http.base_url}: {error or type(error).__name__}") from None
        if answer.status_code == 200:
            return
        if answer.status_code != 503 or time.monotonic() > until:
            raise InputError(f"{http.base_url}: /readyz answers {answer.status_code}")
        await asyncio.sleep(0.1)


async def photos(http: httpx.AsyncClient) -> list[bytes]:
    """JPEG files: one of each example of the server, or rendered faces where it has none."""
    found = []
    for number in itertools.count():
        answer = await http.get(f"/examples/{number}/0.jpg")
        if answer.status_code != 200:
            break
        found.append(answer.content)
    faces = SyntheticFaces("studio", 1, _FACES, 1)
    return found or [images.encode_jpeg(face["image"], 95) for face in faces]


async def figures(http: httpx.AsyncClient) -> Figures | None:
    """What the server itself counts; None where it does not say."""
    try:
        answer = await http.get("/metrics")
    except httpx.HTTPError:
        return None
    if answer.status_code != 200:
        return None
    families = text_string_to_metric_families(answer.text)
    samples = [sample for family in families for sample in family.samples]
    answered, inside = Counter(), 0
    for sample in samples:
        if sample.name == "mint_requests_total" and sample.labels["route"] == _RUN:
            answered[sample.labels["status"]] += int(sample.value)
        elif sample.name == "mint_requests_inside":
            inside = int(sample.value)
    return Figures(answered, inside)


async def live(
    http: httpx.AsyncClient,
    number: int,
    until: float,
    files: Sequence[bytes],
    bad: float,
    tell: Callable[[Outcome], None],
) -> None:
    """A client: one request after the other.

    Args:
      http: to the server.
      number: of the client, which decides its address and what it sends.
      until: on the monotonic clock; later it sends nothing.
      files: photos to send.
      bad: share of the uploads that are no photos.
      tell: is given each outcome.
    """
    rng = np.random.default_rng(number)
    await asyncio.sleep(rng.uniform(0, _PAUSE))
    while time.monotonic() < until:
        outcome = await ask(http, number, _draw(rng, files, bad))
        tell(outcome)
        pause = max(outcome.retry, rng.uniform(1, 2) * _PAUSE)
        await asyncio.sleep(min(pause, max(0, until - time.monotonic())))


async def ask(http: httpx.AsyncClient, number: int, upload: Upload) -> Outcome:
    """Sends an upload of the client of that number."""
    form = [(FIELD, ("photo.jpg", data, "image/jpeg")) for data in upload.files]
    headers = {"x-forwarded-for": str(_NETWORK + number)}
    began = time.perf_counter()
    try:
        answer = await http.post(_RUN, files=form, headers=headers)
    except httpx.HTTPError as error:
        return Outcome(upload, 0, time.perf_counter() - began, lost=type(error).__name__)
    return judge(upload, answer, time.perf_counter() - began)


def judge(upload: Upload, answer: httpx.Response, seconds: float) -> Outcome:
    """Whether an answer is one that the upload should get."""
    status, lost, wrong = answer.status_code, "", ""
    what = f"{status} {_code(answer)}".strip()
    if status >= 500 and what != "503 busy":
        lost = what
    elif status not in (429, 503):
        if not upload.good and not 400 <= status < 500:
            wrong = f"{what} to a bad upload"
        elif upload.good and status != 200:
            wrong = f"{what} to good photos"
        elif upload.good and _hashes(answer) != [sha256(f).hexdigest() for f in upload.files]:
            wrong = "an answer about other photos"
    retry = answer.headers.get("retry-after", "")
    return Outcome(upload, status, seconds, lost, wrong, float(retry) if retry.isdigit() else 0.0)


def _code(answer: httpx.Response) -> str:
    try:
        return schema.ErrorAnswer.model_validate_json(answer.content).error.code
    except ValueError:  # no error, or one of a proxy
        return ""


def _hashes(answer: httpx.Response) -> list[str] | None:
    try:
        found = schema.Answer.model_validate_json(answer.content)
    except ValueError:
        return None
    return [photo.sha256 for photo in found.photos]


def _draw(rng: np.random.Generator, files: Sequence[bytes], bad: float) -> Upload:
    """One to three photos, or a file that is none: cut off, of another type, or noise."""
    photo = files[rng.integers(len(files))]
    if rng.random() < bad:
        kinds = photo[: len(photo) // 2], b"GIF89a" + photo, rng.bytes(2000)
        return Upload([kinds[rng.integers(len(kinds))]], False)
    return Upload([files[row] for row in rng.integers(len(files), size=rng.choice(_PHOTOS))], True)
