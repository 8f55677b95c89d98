"""Multipart forms (RFC 7578) read into memory: nothing of an upload is ever written to disk.

Starlette's own form parser spools files above 1 MB to the temporary folder.
"""

import asyncio
import unicodedata
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from mint_jax.demonstrator.limits import Limits
from mint_jax.demonstrator.refusals import Refused

FIELD = "photos"
PERSON = "person"  # whether all photos show one person
SEALED, FACE = "sealed", "face"  # faces that were found before, and places of those chosen
_NAME_LENGTH = 100
_FIELDS = 16  # beside photos and faces
_FIELD_BYTES = 1024  # of those two that are short
_DRAIN = 10.0  # seconds


class Upload(NamedTuple):
    """A file as it came, under a name that is safe to show once it is escaped."""

    name: str
    data: bytes


class Form(NamedTuple):
    """Photos in their order, and the values of each other field that is known."""

    photos: list[Upload]
    fields: dict[str, list[str]]


async def read(request: Request, limits: Limits, hold: Callable[[int], None]) -> Form:
    """Reads the form of a request.

    Args:
      request: whose body nobody has read.
      limits: of bytes and photos, checked while the body arrives.
      hold: of `Gate.enter`.

    Raises:
      Refused: no form, a broken one, or one beyond the limits.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data":
        raise Refused(415, "not_a_form")
    parts = _Parts(limits)
    try:
        await parts.read(request.stream(), options.get(b"boundary", b""), hold)
    except (FormParserError, ClientDisconnect):
        raise Refused(400, "malformed") from None
    return parts.form


async def drain(request: Request, limits: Limits) -> None:
    """Throws away what still arrives: a browser shows no answer before it has sent its body."""
    left = limits.request_bytes
    try:
        async with asyncio.timeout(_DRAIN):
            async for chunk in request.stream():
                left -= len(chunk)
                if left < 0:
                    return
    except (ClientDisconnect, TimeoutError, RuntimeError):  # the last one: nothing is left to read
        return


def clean(name: str) -> str:
    """The last part of a file's name without control characters, 100 characters at most.

    Marks that turn the direction of writing go too: they make `gpj.exe` of `exe.jpg`.
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    shown = "".join(c for c in last if unicodedata.category(c)[0] != "C").strip()
    return shown if len(shown) <= _NAME_LENGTH else shown[: _NAME_LENGTH - 1] + "…"


class _Parts:
    """Collects the parts of a form through the callbacks of the parser."""

    def __init__(self, limits: Limits):
        self.form = Form([], {})
        self._limits, self._count, self._ended = limits, 0, False
        self._header, self._value, self._disposition = b"", b"", b""
        self._name, self._filename, self._data = "", b"", bytearray()
        self._most = {FIELD: limits.file_bytes, SEALED: limits.sealed_bytes}
        self._most |= dict.fromkeys((PERSON, FACE), _FIELD_BYTES)

    async def read(
        self, stream: AsyncIterator[bytes], boundary: bytes, hold: Callable[[int], None]
    ) -> None:
        names = [name for name in dir(self) if name.startswith("on_")]
        parser = MultipartParser(boundary, {name: getattr(self, name) for name in names})
        total = 0
        async for chunk in stream:
            total += len(chunk)
            if total > self._limits.request_bytes:
                raise Refused(413, "request_too_large", limit=self._limits.request_bytes >> 20)
            hold(len(chunk))
            parser.write(chunk)
        parser.finalize()
        if not self._ended:
            raise Refused(400, "malformed")

    def on_part_begin(self) -> None:
        self._count += 1
        if self._count > self._limits.photos + self._limits.faces + _FIELDS:
            raise Refused(422, "too_many_photos", limit=self._limits.photos)
        self._disposition, self._data = b"", bytearray()

    def on_header_begin(self) -> None:
        self._header, self._value = b"", b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value

    def on_headers_finished(self) -> None:
        options = parse_options_header(self._disposition)[1]
        if b"name" not in options:
            raise Refused(400, "malformed")
        self._name = options[b"name"].decode("utf-8", "replace")
        self._filename = options.get(b"filename", b"")  # RFC 7578, 4.2: a file may have no name

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._name not in self._most:
            return
        self._data += data[start:end]
        if len(self._data) > self._most[self._name]:
            if self._name == FIELD:
                raise Refused(413, "too_large", limit=self._limits.file_bytes >> 20)
            raise Refused(400, "malformed")

    def on_part_end(self) -> None:
        if self._name == FIELD:
            if not (self._filename or self._data):  # none was chosen
                return
            if len(self.form.photos) == self._limits.photos:
                raise Refused(422, "too_many_photos", limit=self._limits.photos)
            name = clean(self._filename.decode("utf-8", "replace"))
            self.form.photos.append(Upload(name, bytes(self._data)))
        elif self._name in self._most:
            value = self._data.decode("utf-8", "replace")
            self.form.fields.setdefault(self._name, []).append(value)

    def on_end(self) -> None:
        self._ended = True
