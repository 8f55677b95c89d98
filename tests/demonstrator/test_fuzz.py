"""Bad uploads of every kind get an answer: never an error of ours, and JSON that says why."""

import numpy as np
import pytest
from demonstrator.brightness import photos, picture

KINDS = (".png", ".jpg", ".webp")
HEADS = (b"GIF89a", b"%PDF-1.7", b"<svg onload=alert(1)>", b"PK\x03\x04", b"II*\0", b"\xff\xd8\xff")


def _image(draws: np.random.Generator) -> bytes:
    """An image that was cut, flipped, doubled, filled up, or never was one."""
    data = bytearray(
        picture(int(draws.integers(256)), int(draws.integers(4)), KINDS[draws.integers(3)])
    )
    kind = draws.integers(6)
    if kind == 0:
        return bytes(data[: draws.integers(len(data))])
    if kind == 1:
        for place in draws.integers(len(data), size=draws.integers(1, 40)):
            data[place] = draws.integers(256)
    elif kind == 2:
        data[draws.integers(len(data)) :] = draws.bytes(draws.integers(2000))
    elif kind == 3:
        return HEADS[draws.integers(len(HEADS))] + bytes(data)
    elif kind == 4:
        return draws.bytes(draws.integers(3000))
    return bytes(data)


def _form(draws: np.random.Generator) -> tuple[bytes, str]:
    """A form whose bytes, or whose announcement, were changed."""
    line = b'--x\r\nContent-Disposition: form-data; name="photos"; filename="a"\r\n\r\n'
    body = bytearray((line + picture(9) + b"\r\n") * int(draws.integers(1, 4)) + b"--x--\r\n")
    for _ in range(draws.integers(1, 6)):
        place = int(draws.integers(len(body)))
        if draws.integers(2):
            body[place] = draws.integers(256)
        else:
            del body[place : place + int(draws.integers(30))]
    kinds = (
        "multipart/form-data; boundary=x",
        "multipart/form-data; boundary=y",
        "multipart/x",
        "",
    )
    return bytes(body), kinds[draws.choice(4, p=(0.85, 0.05, 0.05, 0.05))]


@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=pytest.mark.full)])
def test_bad_uploads(client, count):
    draws, seen = np.random.default_rng(count), set()
    for number in range(count):
        path = "/api/v1/run" if number % 4 else "/run"
        if number % 3:
            names = ["a.png", "\\", "%00", "é" * 90, "a" * 400, '"', "\u202e.gpj"]
            files = [_image(draws) for _ in range(draws.integers(1, 4))]
            answer = client.post(path, files=photos(*files, name=names[draws.integers(7)]))
        else:
            body, kind = _form(draws)
            answer = client.post(path, content=body, headers={"content-type": kind})
        assert answer.status_code in (200, 400, 413, 415, 422), (number, answer.text)
        if answer.status_code != 200:
            assert set(answer.json()["error"]) == {"code", "message"}
        seen.add(answer.status_code)
    assert {200, 400, 415, 422} <= seen
