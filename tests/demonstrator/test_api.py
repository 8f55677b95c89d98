"""The JSON API: its contract, its refusals, and who else may be waiting."""

import hashlib
import json
import threading

import pytest
from demonstrator.brightness import photos, picture

CONTRACT = {
    "photos": [
        {
            "name": "string",
            "sha256": "string",
            "faces": [
                {
                    "box": ["integer"],
                    "models": [
                        {
                            "model": "string",
                            "verdict": ("likely_used", "no_evidence", "cannot_tell"),
                            "reason": "string",
                            "p_value": "number or null",
                            "likelihood_ratio": "number or null",
                            "score": "number or null",
                        }
                    ],
                }
            ],
        }
    ]
}


def _resolve(schema: dict, every: dict):
    """An OpenAPI schema in the words of `CONTRACT`."""
    if "$ref" in schema:
        return _resolve(every[schema["$ref"].rsplit("/", 1)[-1]], every)
    if "anyOf" in schema:
        return " or ".join(option["type"] for option in schema["anyOf"])
    if "enum" in schema:
        return tuple(schema["enum"])
    if schema["type"] == "array":
        return [_resolve(schema["items"], every)]
    if schema["type"] == "object":
        assert sorted(schema["required"]) == sorted(schema["properties"])
        return {key: _resolve(value, every) for key, value in schema["properties"].items()}
    return schema["type"]


def test_openapi_says_the_contract(client):
    described = client.get("/openapi.json").json()
    every = described["components"]["schemas"]
    assert list(described["paths"]) == ["/api/v1/run"]
    run = described["paths"]["/api/v1/run"]["post"]
    answers = {
        status: _resolve(answer["content"]["application/json"]["schema"], every)
        for status, answer in run["responses"].items()
    }
    assert answers.pop("200") == CONTRACT
    assert set(answers) == {"400", "413", "415", "422", "429", "503"}
    for answer in answers.values():
        assert answer == {"error": {"code": "string", "message": "string"}}
    form = run["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["photos"] and form["properties"]["photos"]["type"] == "array"


def _strict(text: str):
    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_it_answers_every_face_of_every_photo(client):
    sent = [picture(250), picture(100, 3, ".jpg"), picture(20, 2, ".webp")]
    answer = client.post("/api/v1/run", files=photos(*sent))
    assert answer.status_code == 200
    found = _strict(answer.text)["photos"]
    assert [photo["sha256"] for photo in found] == [hashlib.sha256(s).hexdigest() for s in sent]
    assert [len(photo["faces"]) for photo in found] == [1, 3, 2]
    assert found[1]["faces"][2]["box"] == [224, 0, 336, 112]
    bright, dark = found[0]["faces"][0]["models"], found[2]["faces"][1]["models"]
    assert bright[0] == {
        "model": "net & one",
        "verdict": "likely_used",
        "reason": "strong",
        "p_value": 0.0021,
        "likelihood_ratio": 34.0,
        "score": pytest.approx(250 / 255),
    }
    assert dark[0]["verdict"] == "no_evidence" and dark[0]["likelihood_ratio"] is None  # infinite
    assert dark[0]["score"] == pytest.approx(20 / 255, abs=0.01)
    assert dark[1] == {
        "model": "net two",
        "verdict": "cannot_tell",
        "reason": "out_of_support",
        **dict.fromkeys(("p_value", "likelihood_ratio", "score")),
    }


def _error(answer, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    told = _strict(answer.text)
    assert set(told) == {"error"} and set(told["error"]) == {"code", "message"}
    assert told["error"]["code"] == code
    assert len(told["error"]["message"]) > 10 and "{" not in told["error"]["message"]


def test_refusals(serve):
    client = serve(file_bytes=1 << 20, request_bytes=2 << 20, photos=3, faces=5)
    post = lambda *files: client.post("/api/v1/run", files=photos(*files))  # noqa: E731
    _error(post(bytes(2**20 + 1)), 413, "too_large")
    _error(post(*[bytes(2**20 - 1)] * 3), 413, "request_too_large")
    _error(post(*[picture()] * 4), 422, "too_many_photos")
    _error(post(picture(faces=3), picture(faces=3)), 422, "too_many_faces")
    _error(post(b"not an image"), 415, "not_an_image")
    _error(post(b""), 415, "not_an_image")
    _error(post(picture(), b"one of them is none"), 415, "not_an_image")
    _error(client.post("/api/v1/run"), 415, "not_a_form")
    _error(client.post("/api/v1/run", json={"photos": []}), 415, "not_a_form")
    _error(client.post("/api/v1/run", files={"other": b"x"}), 422, "no_photo")
    _error(client.get("/api/v1/run"), 405, "method_not_allowed")
    _error(client.get("/api/v2/run"), 404, "not_found")
    for photo in ("7/0", "0/2", "0/-1"):
        _error(client.get(f"/examples/{photo}.jpg"), 404, "not_found")
    for number in ("7", "-1", "x", "9" * 5000):
        _error(client.post(f"/examples/{number}"), 404, "not_found")
    assert client.get("/api/v1/run").headers["allow"] == "POST"


def test_messages_have_the_language_of_the_client(client):
    answer = client.post("/api/v1/run", headers={"accept-language": "es"}, files=photos(b"x"))
    assert "foto" in answer.json()["error"]["message"]


def test_a_decoder_that_fails_in_its_own_way_is_a_refusal(serve, examiner):
    def find(data):
        raise MemoryError("pixels")

    examiner.find = find
    _error(serve().post("/api/v1/run", files=photos(b"x")), 422, "unreadable")


def test_networks_that_fail_are_our_failure_and_say_nothing(serve, examiner, caplog):
    client = serve()
    examiner.judge = lambda faces: [][1]
    _error(client.post("/api/v1/run", files=photos(picture())), 500, "internal")
    page = client.post("/run", files=photos(picture()), headers={"accept": "text/html"})
    assert page.status_code == 500 and "<h1>" in page.text
    failed = [record.getMessage() for record in caplog.records if "failed" in record.getMessage()]
    assert "IndexError" in failed[0] and "out of range" not in failed[0]


def test_a_client_that_asks_too_often_is_told_when_to_come_back(serve):
    client = serve(burst=2, rate=0.1)
    for _ in range(2):
        assert client.post("/api/v1/run", files=photos(picture())).status_code == 200
    answer = client.post("/api/v1/run", files=photos(picture()))
    _error(answer, 429, "too_many_requests")
    assert 1 <= int(answer.headers["retry-after"]) <= 10
    assert client.get("/healthz").status_code == 200


def test_busy(serve, examiner):
    client = serve(requests=1)
    while client.get("/readyz").status_code != 200:
        pass
    examiner.open.clear()
    answers = []
    first = threading.Thread(
        target=lambda: answers.append(client.post("/api/v1/run", files=photos(picture())))
    )
    first.start()
    while "mint_requests_inside 1.0" not in client.get("/metrics").text:
        pass
    answer = client.post("/api/v1/run", files=photos(picture()))
    _error(answer, 503, "busy")
    assert int(answer.headers["retry-after"]) >= 1
    examiner.open.set()
    first.join()
    assert answers[0].status_code == 200  # nobody who was let in is lost
    assert client.post("/api/v1/run", files=photos(picture())).status_code == 200


def test_memory_of_all_requests_together(serve):
    client = serve(held_bytes=1000)
    _error(client.post("/api/v1/run", files=photos(bytes(2000))), 503, "busy")
    assert client.post("/api/v1/run", files=photos(picture()[:600])).status_code != 503


def test_timeouts(serve, examiner):
    client = serve(timeout=0.3)
    while client.get("/readyz").status_code != 200:
        pass
    examiner.open.clear()
    answer = client.post("/api/v1/run", files=photos(picture()))
    _error(answer, 503, "timeout")
    assert "retry-after" in answer.headers


def test_readiness_waits_for_the_networks(serve, examiner):
    examiner.open.clear()
    client = serve()
    assert client.get("/healthz").json() == {"status": "alive"}
    _error(client.get("/readyz"), 503, "starting")
    examiner.open.set()
    while client.get("/readyz").status_code != 200:
        pass
    assert client.get("/readyz").json() == {"status": "ready"}
