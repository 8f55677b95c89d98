"""Headers on every answer, figures, log lines, and what never leaves memory."""

import json
import logging
import os
import sys
import tempfile

import cv2
import numpy as np
import pytest
from demonstrator.brightness import photos, picture
from demonstrator.reading import Page, press

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def _answers(client):
    yield client.post("/run", files=photos(picture()))
    yield client.post("/run", files=photos(b"x"))
    yield client.post("/api/v1/run", files=photos(picture()))
    faces = client.post("/run", files=photos(picture(faces=2)))
    yield faces
    yield press(client, Page(faces.text))
    yield client.post("/examples/0")
    yield client.put("/nope")
    for path in ("/", "/style.css", "/script.js", "/examples/0/0.jpg", "/nope", "/run", "/healthz"):
        yield client.get(path)
    for path in ("/readyz", "/metrics", "/openapi.json"):
        yield client.get(path)


def test_headers_on_every_answer(client):
    identities = set()
    for answer in _answers(client):
        headers = answer.headers
        assert headers["content-security-policy"] == POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "camera=()" in headers["permissions-policy"]
        assert "set-cookie" not in headers
        identities.add(headers["x-request-id"])
    assert len(identities) == 17


def test_headers_on_our_own_failures(serve, examiner):
    client = serve()
    examiner.judge = None
    answer = client.post("/run", files=photos(picture()))
    assert answer.status_code == 500
    assert answer.headers["content-security-policy"] == POLICY


def test_metrics(client):
    client.post("/run", files=photos(picture(), picture(), picture()))
    client.post("/run", files=photos(b"x"))
    client.get("/<script>")
    text = client.get("/metrics").text
    assert 'mint_requests_total{route="/run",status="200"} 1.0' in text
    assert 'mint_requests_total{route="/run",status="415"} 1.0' in text
    assert 'mint_requests_total{route="other",status="404"} 1.0' in text
    assert 'mint_request_seconds_count{route="/run"} 2.0' in text
    assert "mint_batch_faces_sum 3.0" in text
    assert "mint_queue_jobs 0.0" in text and "mint_requests_inside 0.0" in text
    assert "script" not in text


def test_a_log_line_has_counts_and_no_names_pixels_or_addresses(client, examiner, caplog):
    caplog.set_level(logging.DEBUG)
    sent, find = picture(137, 2), examiner.find

    def fragile(data):
        if data == b"odd":
            raise ValueError("what a decoder says of my-secret-name.png")
        return find(data)

    examiner.find = fragile
    client.post("/run", files=photos(sent, b"odd", name="my-secret-name.png"))
    client.get("/my-secret-path?q=my-secret-name")
    lines = [r.getMessage() for r in caplog.records if r.name == "mint_jax.demonstrator"]
    run, other = (json.loads(line) for line in lines if '"request"' in line)
    assert json.loads(lines[0]) == {"event": "unreadable", "error": "ValueError"}
    assert (run["route"], run["status"], run["photos"], run["faces"]) == ("/run", 200, 2, 2)
    assert run["ms"] > 0 and len(run["id"]) == 16
    assert (other["route"], other["status"]) == ("other", 404)
    ours = [r for r in caplog.records if not r.name.startswith("httpx")]  # the client logs as well
    for record in ours:
        text = record.getMessage() + str(record.args) + str(record.exc_info)
        assert "secret" not in text and "testclient" not in text
        assert "137, 137" not in text and repr(sent[:20])[2:-1] not in text


class _Watch:
    """Every file that this process opens for writing while `on`; hooks cannot be taken away."""

    def __init__(self):
        self.on, self.opened = False, []
        sys.addaudithook(self._hook)

    def _hook(self, event, args):
        if not self.on or event not in ("open", "tempfile.mkstemp"):
            return
        flags = args[2] if event == "open" else os.O_RDWR
        if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR):
            self.opened.append(args[0])


@pytest.fixture(scope="module")
def watch():
    return _Watch()


def test_photos_are_never_written(client, watch, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    large = picture(200) + bytes(12 << 20)
    watch.on = True
    try:
        answer = client.post("/run", files=photos(large, picture(10), name="photo.png"))
        refused = client.post("/run", files=photos(large, bytes(16 << 20)))
        noise = np.random.default_rng(0).integers(0, 256, (112, 40 * 112, 3), np.uint8)
        faces = client.post("/run", files=photos(cv2.imencode(".png", noise)[1].tobytes()))
        chosen = press(client, Page(faces.text), "0-0", "0-39")
        opened = list(watch.opened)
        with tempfile.SpooledTemporaryFile(max_size=1) as spooled:
            spooled.write(b"a file that does go to disk")
        seen = watch.opened[len(opened) :]
    finally:
        watch.on = False
    assert (answer.status_code, refused.status_code) == (200, 413)
    assert len(faces.text) > 40 * 112 * 112 * 3 and chosen.text.count("Face 40 of 40") == 1
    assert opened == [] and list(tmp_path.iterdir()) == []
    assert seen  # the watch would have seen it
