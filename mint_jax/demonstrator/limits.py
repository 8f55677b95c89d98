"""What the platform accepts, and how it stays within it: admission, memory and rate of a client."""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mint_jax.demonstrator.examiner import SHAPE
from mint_jax.demonstrator.refusals import Refused

_RETRY = 5  # seconds: about what a request takes


@dataclass(frozen=True)
class Limits:
    """What is accepted.

    Attributes:
      file_bytes, request_bytes: of one photo, and of all that one request sends.
      held_bytes: of the requests that are in memory at one time.
      photos, faces: of one request.
      requests: handled at one time; more are told that the platform is busy.
      burst, rate: requests that a client may send at once, and a second in the long run.
      clients: whose rate is remembered.
      batch: faces that the networks read at one time.
      wait: seconds for which a batch waits for faces of other requests.
      finders: threads that decode photos and find faces.
      timeout: seconds for one request, its upload included.
    """

    file_bytes: int = 15 << 20
    request_bytes: int = 60 << 20
    held_bytes: int = 512 << 20
    photos: int = 10
    faces: int = 40
    requests: int = 64
    burst: int = 60
    rate: float = 2.0
    clients: int = 10_000
    batch: int = 32
    wait: float = 0.02
    finders: int = 2
    timeout: float = 60.0

    @property
    def sealed_bytes(self) -> int:
        """Of the form field in which found faces travel: above 4/3 of their pixels, for base64."""
        return 2 * self.faces * math.prod(SHAPE)


class Gate:
    """Lets requests in while there is room. Belongs to the thread of the event loop.

    Attributes:
      inside: requests that are being handled.
    """

    def __init__(self, limits: Limits):
        self._limits, self.inside, self._bytes = limits, 0, 0

    @contextmanager
    def enter(self) -> Iterator[Callable[[int], None]]:
        """Counts a request while it lasts; gives a function that counts its bytes.

        Raises:
          Refused: 503 where there is no room, at the door or for further bytes.
        """
        if self.inside >= self._limits.requests:
            raise Refused(503, "busy", _RETRY)
        self.inside += 1
        held = 0

        def hold(count: int) -> None:
            nonlocal held
            if self._bytes + count > self._limits.held_bytes:
                raise Refused(503, "busy", _RETRY)
            held += count
            self._bytes += count

        try:
            yield hold
        finally:
            self.inside -= 1
            self._bytes -= held


class Buckets:
    """A token bucket for each client; those who asked least recently are forgotten first."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic):
        self._limits, self._clock = limits, clock
        self._found: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._found)

    def take(self, address: str) -> None:
        """Counts a request of a client.

        Raises:
          Refused: 429, with the seconds after which the client may ask again.
        """
        client, now, limits = _client(address), self._clock(), self._limits
        tokens, then = self._found.pop(client, (float(limits.burst), now))
        tokens = min(limits.burst, tokens + (now - then) * limits.rate)
        allowed = tokens >= 1
        self._found[client] = (tokens - allowed, now)
        if len(self._found) > limits.clients:
            self._found.popitem(last=False)
        if not allowed:
            raise Refused(429, "too_many_requests", math.ceil((1 - tokens) / limits.rate))


def _client(address: str) -> str:
    """An IPv4 address, or the /64 network that one IPv6 customer owns."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))
