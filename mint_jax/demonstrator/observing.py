"""What every request goes through: headers, a log line, metrics, and a last resort for errors.

Neither names, pixels, addresses of clients nor the paths that they typed are written anywhere.
"""

import json
import logging
import secrets
import time
import traceback
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mint_jax.demonstrator.refusals import Refused

_LOG = logging.getLogger("mint_jax.demonstrator")
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
COUNTS = "mint_jax.counts"  # the key of a scope under which handlers say what they counted


class Metrics:
    """The figures of /metrics, of one application."""

    def __init__(self, inside: Callable[[], int], waiting: Callable[[], int]):
        """`inside` and `waiting` tell how many requests are handled, and jobs not begun."""
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "mint_requests", "Requests answered", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "mint_request_seconds",
            "Seconds until the answer",
            ["route"],
            registry=self.registry,
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60),
        )
        self.batch = Histogram(
            "mint_batch_faces",
            "Faces that the networks read at one time",
            registry=self.registry,
            buckets=(1, 2, 4, 8, 16, 32, 64),
        )
        for name, text, read in (
            ("mint_requests_inside", "Requests that are being handled", inside),
            ("mint_queue_jobs", "Jobs that wait for the networks", waiting),
        ):
            Gauge(name, text, registry=self.registry).set_function(read)


class Observed:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, metrics: Metrics, refuse: Callable):
        """`refuse` makes the response to a request, of a `Refused`."""
        self._app, self._metrics, self._refuse = app, metrics, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, request = time.perf_counter(), 0, secrets.token_hex(8)
        scope[COUNTS] = {}

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = {name.decode().lower() for name, _ in message["headers"]}
                more = HEADERS | {"x-request-id": request}
                message["headers"] = [
                    *message["headers"],
                    *((k.encode(), v.encode()) for k, v in more.items() if k not in own),
                ]
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            places = traceback.extract_tb(error.__traceback__)[-3:]
            self._log(
                logging.ERROR,
                event="failed",
                id=request,
                error=type(error).__name__,  # its message may hold what was uploaded
                at=[f"{place.filename.rsplit('/', 1)[-1]}:{place.lineno}" for place in places],
            )
            if not status:
                refused = await self._refuse(Request(scope), Refused(500, "internal"))
                await refused(scope, receive, answer)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            seconds = time.perf_counter() - began
            self._metrics.requests.labels(route, status).inc()
            self._metrics.seconds.labels(route).observe(seconds)
            self._log(
                logging.INFO,
                event="request",
                id=request,
                route=route,
                status=status,
                ms=round(1000 * seconds, 1),
                **scope[COUNTS],
            )

    def _log(self, level: int, **values: object) -> None:
        _LOG.log(level, json.dumps(values))
