"""The routes of the platform: pages for people, JSON for programs, figures for its keeper."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import numpy as np
from fastapi import FastAPI
from prometheus_client import generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from mint_jax.demonstrator import schema, uploads
from mint_jax.demonstrator.batching import Worker
from mint_jax.demonstrator.examiner import SHAPE, Examiner, Face, PhotoError
from mint_jax.demonstrator.limits import Buckets, Gate, Limits
from mint_jax.demonstrator.observing import COUNTS, Metrics, Observed
from mint_jax.demonstrator.pages import Choice, Pages
from mint_jax.demonstrator.refusals import Refused, status_of
from mint_jax.demonstrator.running import Photo, Runner
from mint_jax.demonstrator.sealing import Sealer
from mint_jax.demonstrator.words import Words, language

_CODES = {404: "not_found", 405: "method_not_allowed"}
_BLANK = Face((0, 0, *SHAPE[:2]), np.full(SHAPE, 128, np.uint8), (0.0, 0.0))
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class Example(NamedTuple):
    """Photos of one person to try the platform with.

    Attributes:
      name: as it is shown.
      photos: JPEG files.
      member: whether they were used to train the network that is audited.
    """

    name: str
    photos: Sequence[bytes]
    member: bool


def create_app(
    examiner: Examiner, *, limits: Limits = Limits(), examples: Sequence[Example] = ()
) -> FastAPI:
    """The platform as an ASGI application.

    Args:
      examiner: reads photos; the networks are compiled by a first face when the application starts.
      limits: what is accepted.
      examples: people to try it with.
    """
    site = _Site(examiner, limits, examples)
    # it warns of single bytes that visitors sent
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    app = FastAPI(
        title="MINT: membership inference test",
        description="Was this photo used to train that face recognition network?",
        version="1",
        docs_url=None,  # its page loads scripts of a third party
        redoc_url=None,
        lifespan=site.lifespan,
    )
    app.add_middleware(Observed, metrics=site.metrics, refuse=site.refuse)
    for kind in (Refused, HTTPException):
        app.add_exception_handler(kind, site.refuse)
    for path, method, route in (
        ("/", "GET", site.home),
        ("/run", "POST", site.run),
        ("/run/faces", "POST", site.run_faces),
        ("/examples/{number}", "POST", site.run_example),
        ("/examples/{number}/{photo}.jpg", "GET", site.example),
        ("/style.css", "GET", site.style),
        ("/script.js", "GET", site.script),
        ("/healthz", "GET", site.alive),
        ("/readyz", "GET", site.ready),
        ("/metrics", "GET", site.figures),
    ):
        app.add_api_route(path, route, methods=[method], include_in_schema=False)
    app.add_api_route(
        "/api/v1/run",
        site.api,
        methods=["POST"],
        response_model=schema.Answer,
        responses=schema.RESPONSES,
        openapi_extra=schema.request(limits),
        operation_id="run",
        summary="Examine photos",
    )
    return app


class _Site:
    """What the routes share."""

    def __init__(self, examiner: Examiner, limits: Limits, examples: Sequence[Example]):
        self._limits = limits
        self._examples = {str(number): example for number, example in enumerate(examples)}
        self._gate, self._buckets = Gate(limits), Buckets(limits)
        self._worker = Worker(examiner, limits, lambda faces: self.metrics.batch.observe(faces))
        self._runner, self._sealer = Runner(examiner, self._worker, limits), Sealer()
        self._pages = Pages(examiner, limits, examples)
        self.metrics = Metrics(lambda: self._gate.inside, self._worker.waiting)

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Starts the thread of the networks, and ends when nothing is left to do."""
        self._worker.start(_BLANK)
        yield
        await asyncio.to_thread(self._runner.close)
        await asyncio.to_thread(self._worker.stop)

    async def home(self, request: Request) -> Response:
        """The first page."""
        words = _words(request)
        return _page(words, await asyncio.to_thread(self._pages.home, words))

    async def run(self, request: Request) -> Response:
        """The page with the results of a form, or with the faces to choose from."""
        words = _words(request)
        async with self._admit(request) as hold:
            form = await uploads.read(request, self._limits, hold)
            photos, person = await self._find(request, form.photos), uploads.PERSON in form.fields
            errors = [photo.error for photo in photos]
            if all(errors):
                raise _refused(errors[0])
            every = _every(photos)
            if max(map(len, every)) > 1:
                sealed = await asyncio.to_thread(self._sealer.seal, photos)
                choice = Choice(photos, [places[:1] for places in every], person, sealed)
                return _page(words, await asyncio.to_thread(self._pages.choice, words, choice))
            found = await self._runner.judge(photos, every, person)
            return _page(words, await asyncio.to_thread(self._pages.result, words, found))

    async def run_faces(self, request: Request) -> Response:
        """The page with the results of chosen faces, or with what is wrong with the choice."""
        words = _words(request)
        async with self._admit(request) as hold:
            fields = (await uploads.read(request, self._limits, hold)).fields
            sealed, person = fields.get(uploads.SEALED, [""])[0], uploads.PERSON in fields
            photos = await asyncio.to_thread(self._sealer.open, sealed)
            picked = fields.get(uploads.FACE, [])
            chosen = [
                [i for i in places if f"{number}-{i}" in picked]
                for number, places in enumerate(_every(photos))
            ]
            request.scope[COUNTS].update(photos=len(photos), faces=sum(map(len, chosen)))
            choice = Choice(photos, chosen, person, sealed)
            if choice.wrong:
                page = await asyncio.to_thread(self._pages.choice, words, choice)
                return _page(words, page, 422)
            found = await self._runner.judge(photos, chosen, person)
            return _page(words, await asyncio.to_thread(self._pages.result, words, found))

    async def run_example(self, request: Request, number: str) -> Response:
        """The page with the results of an example."""
        example, words = self._example(number), _words(request)
        async with self._admit(request):
            files = [uploads.Upload(f"{i + 1}.jpg", file) for i, file in enumerate(example.photos)]
            photos = await self._find(request, files)
            found = await self._runner.judge(photos, _every(photos), one_person=True)
            return _page(words, await asyncio.to_thread(self._pages.result, words, found, example))

    async def api(self, request: Request) -> schema.Answer:
        """Every face of every photo, and what each audited model says of it."""
        async with self._admit(request) as hold:
            form = await uploads.read(request, self._limits, hold)
            photos = await self._find(request, form.photos)
            found = await self._runner.judge(photos, _every(photos))
        for photo in photos:
            if photo.error:
                raise _refused(photo.error)
        return schema.answer(found)

    async def example(self, number: str, photo: str) -> Response:
        """A photo of an example, by its place."""
        photos = {str(place): file for place, file in enumerate(self._example(number).photos)}
        if photo not in photos:
            raise Refused(404, "not_found")
        return Response(photos[photo], media_type="image/jpeg")

    async def style(self) -> Response:
        """The style sheet of all pages."""
        return Response(self._pages.style, media_type="text/css")

    async def script(self) -> Response:
        """What makes the form more comfortable."""
        return Response(self._pages.script, media_type="text/javascript")

    async def alive(self) -> dict:
        """Whether the process answers."""
        return {"status": "alive"}

    async def ready(self) -> dict:
        """Whether the networks have read a first face."""
        if not self._worker.ready.is_set():
            raise Refused(503, "starting", 5)
        return {"status": "ready"}

    async def figures(self) -> Response:
        """Figures for Prometheus."""
        return Response(generate_latest(self.metrics.registry), media_type=_PROMETHEUS)

    async def refuse(self, request: Request, error: Refused | HTTPException) -> Response:
        """The response to a request that gets no answer: a page for browsers, else JSON."""
        headers = getattr(error, "headers", None) or {}
        if isinstance(error, HTTPException):
            error = Refused(error.status_code, _CODES.get(error.status_code, "bad_request"))
        if error.retry_after is not None:
            headers = headers | {"retry-after": str(math.ceil(error.retry_after))}
        words = _words(request)
        api = request.url.path.startswith("/api/")
        if not api and "text/html" in request.headers.get("accept", ""):
            return _page(words, self._pages.error(words, error), error.status, headers)
        told = {"code": error.code, "message": words.error(error.code, error.details)}
        return JSONResponse({"error": told}, error.status, headers)

    @asynccontextmanager
    async def _admit(self, request: Request) -> AsyncIterator[Callable[[int], None]]:
        """Holds what is done for a request within the limits; gives `hold` of `Gate.enter`."""
        try:
            with self._gate.enter() as hold:
                self._buckets.take(request.client.host if request.client else "")
                async with asyncio.timeout(self._limits.timeout):
                    yield hold
        except TimeoutError:
            raise Refused(503, "timeout", 30) from None
        except Refused:
            await uploads.drain(request, self._limits)
            raise

    async def _find(self, request: Request, sent: Sequence[uploads.Upload]) -> list[Photo]:
        photos = await self._runner.find(sent)
        faces = sum(len(photo.faces) for photo in photos)
        request.scope[COUNTS].update(photos=len(photos), faces=faces)
        return photos

    def _example(self, number: str) -> Example:
        if number not in self._examples:
            raise Refused(404, "not_found")
        return self._examples[number]


def _every(photos: Sequence[Photo]) -> list[range]:
    """All faces, chosen."""
    return [range(len(photo.faces)) for photo in photos]


def _refused(error: PhotoError) -> Refused:
    return Refused(status_of(error.code), error.code, **error.details)


def _words(request: Request) -> Words:
    asked, accepted = request.query_params.get("lang"), request.headers.get("accept-language", "")
    return Words(language(asked, accepted))


def _page(words: Words, text: str, status: int = 200, headers: dict | None = None) -> Response:
    own = {"content-language": words.name, "vary": "Accept-Language"}
    return HTMLResponse(text, status, own | dict(headers or {}))
