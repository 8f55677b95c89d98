"""Forms that are read in memory: names, counts and sizes, in any cut of the stream."""

import asyncio

import numpy as np
import pytest
from starlette.requests import Request

from mint_jax.demonstrator import uploads
from mint_jax.demonstrator.limits import Limits
from mint_jax.demonstrator.refusals import Refused

LIMITS = Limits(file_bytes=2000, request_bytes=5000, photos=3, faces=4)


def _part(data: bytes, name: str = "photos", filename: str | None = "a.jpg") -> bytes:
    about = f'Content-Disposition: form-data; name="{name}"'
    about += f'; filename="{filename}"' if filename is not None else ""
    return b"--xyz\r\n" + about.encode() + b"\r\n\r\n" + data + b"\r\n"


def _read(
    body: bytes,
    cut: int = 64,
    kind: str = "multipart/form-data; boundary=xyz",
    held=None,
    limits: Limits = LIMITS,
):
    """Reads a body that arrives in pieces; gives what was read, and how much of it."""
    pieces = [body[i : i + cut] for i in range(0, len(body), cut)] or [b""]
    messages = iter(
        {"type": "http.request", "body": piece, "more_body": i + 1 < len(pieces)}
        for i, piece in enumerate(pieces)
    )

    async def receive() -> dict:
        return next(messages, {"type": "http.disconnect"})

    scope = {"type": "http", "headers": [(b"content-type", kind.encode())]}
    request = Request(scope, receive)
    return asyncio.run(uploads.read(request, limits, held or (lambda count: None)))


def _refused(*args, **kwargs) -> tuple[int, str]:
    with pytest.raises(Refused) as refused:
        _read(*args, **kwargs)
    return refused.value.status, refused.value.code


@pytest.mark.parametrize("cut", [1, 7, 10**6])
def test_photos_and_fields_come_as_they_were_sent(cut):
    first, second = np.random.default_rng(0).bytes(1999), b"\r\n--xy\r\n--"
    form = _part(first) + _part(b"1", "person", None) + _part(second, filename="b.png")
    form += _part(b"x" * 1025, "other", None)
    form = _read(form + b"--xyz--\r\n", cut)
    assert form.photos == [("a.jpg", first), ("b.png", second)]
    assert form.fields == {"person": ["1"]}  # others are not asked for


def test_a_field_of_faces_has_a_limit_of_its_own():
    limits = Limits(faces=2)
    assert limits.sealed_bytes == 4 * 112 * 112 * 3
    most = _part(b"x" * limits.sealed_bytes, "sealed", None)
    values = ["1", "2"]
    both = b"".join(_part(value.encode(), "face", None) for value in values)
    form = _read(both + most + b"--xyz--", 10**4, limits=limits)
    assert form.fields["face"] == values and len(form.fields["sealed"][0]) == limits.sealed_bytes
    more = _part(b"x" * (limits.sealed_bytes + 1), "sealed", None)
    assert _refused(more + b"--xyz--", 10**4, limits=limits) == (400, "malformed")


def test_every_byte_is_counted_before_it_is_kept():
    counts, body = [], _part(b"x" * 1000) + b"--xyz--\r\n"
    _read(body, 100, held=counts.append)
    assert sum(counts) == len(body)


@pytest.mark.parametrize(
    "body, expected",
    [
        (_part(b"x" * 2001) + b"--xyz--", (413, "too_large")),
        (_part(b"x" * 1999) * 3 + b"--xyz--", (413, "request_too_large")),
        (_part(b"x") * 4 + b"--xyz--", (422, "too_many_photos")),
        (_part(b"x", "other") * 25 + b"--xyz--", (422, "too_many_photos")),
        (_part(b"x" * 1025, "person", None) + b"--xyz--", (400, "malformed")),
        (_part(b"x"), (400, "malformed")),
        (b"--xyz\r\nX: y\r\n\r\nx\r\n--xyz--", (400, "malformed")),
        (b"nothing of the kind", (400, "malformed")),
        (b"", (400, "malformed")),
    ],
)
def test_what_is_refused(body, expected):
    assert _refused(body) == expected


@pytest.mark.parametrize(
    "kind, expected",
    [
        ("application/json", (415, "not_a_form")),
        ("", (415, "not_a_form")),
        ("multipart/form-data", (400, "malformed")),
    ],
)
def test_other_kinds_of_body(kind, expected):
    assert _refused(_part(b"x") + b"--xyz--", kind=kind) == expected


@pytest.mark.parametrize(
    "about", [(b"", "photos", ""), (b"", "photos", None), (b"x", "other", "a.jpg")]
)
def test_forms_without_photos(about):
    assert _read(_part(*about) + b"--xyz--").photos == []


def test_a_photo_without_a_name():
    assert _read(_part(b"x", filename=None) + b"--xyz--").photos == [("", b"x")]


def test_none_chosen_beside_one_that_is():
    form = _read(_part(b"", filename="") + _part(b"x") + b"--xyz--")
    assert form.photos == [("a.jpg", b"x")]


@pytest.mark.parametrize(
    "name, expected",
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\face.jpg", "face.jpg"),
        ("<script>alert(1)<script>.jpg", "<script>alert(1)<script>.jpg"),
        ("ma\u00f1ana \u5199\u771f.jpg", "ma\u00f1ana \u5199\u771f.jpg"),
        ("a\x00b\nc\u202egpj.exe", "abcgpj.exe"),
        ("x" * 300, "x" * 99 + "\u2026"),
        ("..\\", ""),
        ("", ""),
    ],
)
def test_names(name, expected):
    assert uploads.clean(name) == expected
