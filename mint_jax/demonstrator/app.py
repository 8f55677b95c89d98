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
from mint_jax.demonstrator.examiner import Examiner, Face
from mint_jax.demonstrator.limits import Buckets, Gate, Limits
from mint_jax.demonstrator.observing import COUNTS, Metrics, Observed
from mint_jax.demonstrator.pages import Pages
from mint_jax.demonstrator.refusals import Refused, status_of
from mint_jax.demonstrator.running import Examination, Runner
from mint_jax.demonstrator.words import Words, language

_CODES = {404: "not_found", 405: "method_not_allowed"}
_BLANK = Face((0, 0, 112, 112), np.full((112, 112, 3), 128, np.uint8), (0.0, 0.0))
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class Example(NamedTuple):
    """A photo to try the platform with.

    Attributes:
      name: as it is shown.
      jpeg: the file.
      member: whether it was used to train the network that is audited.
    """

    name: str
    jpeg: bytes
    member: bool


def create_app(
    examiner: Examiner, *, limits: Limits = Limits(), examples: Sequence[Example] = ()
) -> FastAPI:
    """The platform as an ASGI application.

    Args:
      examiner: reads photos; the networks are compiled by a first face when the application starts.
      limits: what is accepted.
      examples: photos to try it with.
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
        ("/examples/{number}", "POST", site.run_example),
        ("/examples/{number}.jpg", "GET", site.example),
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
        openapi_extra=schema.REQUEST,
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
        self._runner = Runner(examiner, self._worker, limits)
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
        """The page with the results of a form."""
        found, words = await self._examine(request), _words(request)
        errors = [photo.error for photo in found.photos]
        if all(errors):
            raise Refused(status_of(errors[0].code), errors[0].code, **errors[0].details)
        return _page(words, await asyncio.to_thread(self._pages.result, words, found))

    async def run_example(self, request: Request, number: str) -> Response:
        """The page with the results of an example."""
        example, words = self._example(number), _words(request)
        upload = uploads.Upload(example.name, example.jpeg)
        found = await self._examine(request, [upload])
        return _page(words, await asyncio.to_thread(self._pages.result, words, found, example))

    async def api(self, request: Request) -> schema.Answer:
        """Every face of every photo, and what each audited model says of it."""
        found = await self._examine(request)
        for photo in found.photos:
            if photo.error:
                code = photo.error.code
                raise Refused(status_of(code), code, **photo.error.details)
        return schema.answer(found)

    async def example(self, number: str) -> Response:
        """The picture of an example."""
        return Response(self._example(number).jpeg, media_type="image/jpeg")

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

    async def _examine(
        self, request: Request, photos: Sequence[uploads.Upload] = ()
    ) -> Examination:
        """Examines given photos, or those of the form in the request.

        Raises:
          Refused: by the limits, or what `uploads.read` and `Runner.run` raise.
        """
        try:
            with self._gate.enter() as hold:
                self._buckets.take(request.client.host if request.client else "")
                async with asyncio.timeout(self._limits.timeout):
                    return await self._admitted(request, photos, hold)
        except TimeoutError:
            raise Refused(503, "timeout", 30) from None
        except Refused:
            await uploads.drain(request, self._limits)
            raise

    async def _admitted(
        self, request: Request, photos: Sequence[uploads.Upload], hold: Callable[[int], None]
    ) -> Examination:
        form = uploads.Form(list(photos), {})
        if not photos:
            form = await uploads.read(request, self._limits, hold)
        found = await self._runner.run(form.photos, "person" in form.fields)
        faces = sum(len(photo.faces) for photo in found.photos)
        request.scope[COUNTS].update(photos=len(found.photos), faces=faces)
        return found

    def _example(self, number: str) -> Example:
        if number not in self._examples:
            raise Refused(404, "not_found")
        return self._examples[number]


def _words(request: Request) -> Words:
    asked, accepted = request.query_params.get("lang"), request.headers.get("accept-language", "")
    return Words(language(asked, accepted))


def _page(words: Words, text: str, status: int = 200, headers: dict | None = None) -> Response:
    own = {"content-language": words.name, "vary": "Accept-Language"}
    return HTMLResponse(text, status, own | dict(headers or {}))
