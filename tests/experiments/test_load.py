"""The load test: what it says of a server that stands it, and of one that loses requests."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from demonstrator.brightness import Brightness, picture
from demonstrator.servers import served

from data_pipelines import uploads
from experiments import load_clients, load_server, loading
from experiments.load_clients import Outcome, Upload
from mint_jax.demonstrator import Example, Limits, create_app
from mint_jax.demonstrator.examiner import PhotoError
from mint_jax.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = [Example(f"{b}", [picture(b, kind=".jpg")], True) for b in (60, 120, 180)]


class Strict(Brightness):
    """Refuses files that are cut off, as the platform does, and judges all but every n-th batch."""

    def __init__(self, fail: int = 0):
        super().__init__()
        self._fail = fail

    def find(self, data):
        try:
            uploads.decode(data)
        except uploads.UploadError as error:
            raise PhotoError(error.code, **error.details) from None
        return super().find(data)

    def judge(self, faces):
        if self._fail and len(self.batches) % self._fail == 1:
            self.batches.append(0)
            raise RuntimeError
        return super().judge(faces)


def _run(address, clients=8, seconds=1.5, **more):
    return asyncio.run(loading.run(address, clients, seconds, **more))


def test_a_server_that_stands_it():
    examiner = Strict()
    with served(create_app(examiner, examples=EXAMPLES)) as (_, address):
        found = _run(address, bad=0.4)
    assert found["failures"] == [] and found["faults"] == {}
    requests, statuses, good = found["requests"], found["statuses"], found["good"]
    assert requests["sent"] == requests["answered"] == sum(statuses.values()) >= 8
    assert statuses["200"] == good["requests"] and set(statuses) <= {"200", "415", "422"}
    assert requests["sent"] > good["requests"]  # some were no photos, and were refused
    assert good["photos"] == sum(examiner.batches) - 1  # one is its own
    latency = list(good["latency"].values())
    assert latency == sorted(latency) and 0 < latency[0]
    assert found["counters"] == {"server": statuses, "clients": statuses, "agree": True}
    assert found["memory_mb"] is None and found["shutdown"] is None


def test_every_client_has_an_address_and_obeys_the_server():
    limits = Limits(burst=1, rate=0.2)
    with served(create_app(Strict(), limits=limits, examples=EXAMPLES)) as (_, address):
        found = _run(address, clients=3, seconds=3, bad=0)
    # the second request of each is told to wait for longer than the test
    assert found["statuses"]["200"] == 3 and 1 <= found["statuses"]["429"] <= 3
    assert found["failures"] == []


def test_the_command_says_what_was_lost(tmp_path):
    with served(create_app(Strict(fail=3), examples=EXAMPLES)) as (_, address):
        command = [sys.executable, "-m", "experiments.load", f"--workdir={tmp_path}"]
        command += [f"--url={address}", "--clients=4", "--minutes=0.03"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    found = json.loads((tmp_path / "load.json").read_text())
    lost = found["requests"]["lost"]
    assert done.returncode == 1 and lost == found["statuses"]["500"] >= 1
    assert found["faults"] == {"500 internal": lost}
    assert f"{lost} were lost" in done.stderr and f"{lost} x 500 internal" in done.stderr
    assert "Traceback" not in done.stderr and f"lost {lost}" in done.stdout
    assert found["counters"]["agree"]  # the server knows


def test_several_numbers_of_clients_one_after_another(tmp_path):
    with served(create_app(Strict(), examples=EXAMPLES)) as (_, address):
        command = [sys.executable, "-m", "experiments.load", f"--workdir={tmp_path}"]
        command += [f"--url={address}", "--clients=3,1", "--minutes=0.03"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "load.json").read_text())
    assert [run["clients"] for run in found] == [3, 1]
    assert all(run["counters"]["agree"] and run["device"] for run in found)
    head, _, *rows = done.stdout.splitlines()[-4:]
    names = [name.strip() for name in head.strip("|").split("|")]
    for row, run in zip(rows, found, strict=True):
        cells = dict(zip(names, (cell.strip() for cell in row.strip("|").split("|")), strict=True))
        good = run["good"]
        assert cells["clients"] == str(run["clients"]) and cells["n"] == str(good["requests"])
        assert cells["requests/s"] == f"{good['requests'] / run['seconds']:.1f}"
        assert cells["p99, s"] == f"{good['latency']['p99']:.3f}"
        assert cells["memory at most"] == "unknown"


@pytest.mark.parametrize("clients", ["8,0", "many"])
def test_numbers_that_are_none(clients, tmp_path):
    command = [sys.executable, "-m", "experiments.load", f"--workdir={tmp_path}"]
    done = subprocess.run(
        [*command, f"--clients={clients}"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == f"error: --clients: numbers from 1 to 500, not {clients!r}\n"


def test_a_server_that_counts_answers_which_nobody_got():
    app = create_app(Strict(), examples=EXAMPLES)

    async def deaf(scope, receive, send):
        async def drop(message):
            raise ConnectionError

        await app(scope, receive, drop if scope.get("path") == "/api/v1/run" else send)

    with served(deaf) as (_, address):
        found = _run(address, clients=2, seconds=0.6, bad=0)
    sent = found["requests"]["sent"]
    assert found["requests"] == {"sent": sent, "answered": 0, "lost": sent, "wrong": 0}
    assert found["good"]["latency"] is None
    assert found["failures"] == [
        f"of {sent} requests {sent} were lost and 0 answered wrongly: {sent} x 500",
        "no photo was examined",
        f"the server counted {sent} x 200, its clients saw {sent} x 500",
    ]


def _answer(status, code=None, files=(), **headers):
    body = {"photos": [{"name": "", "sha256": sha256, "faces": []} for sha256 in files]}
    if code:
        body = {"error": {"code": code, "message": "."}}
    return httpx.Response(status, json=body, headers=headers)


# sha256("a"), sha256("b")
A = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
B = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"


@pytest.mark.parametrize(
    "good, answer, lost, wrong",
    [
        (True, _answer(200, files=[A, B]), "", ""),
        (True, _answer(200, files=[B, A]), "", "an answer about other photos"),
        (True, _answer(200, files=[A]), "", "an answer about other photos"),
        (True, httpx.Response(200, text="<html>"), "", "an answer about other photos"),
        (True, _answer(422, "no_face"), "", "422 no_face to good photos"),
        (True, _answer(429, "too_many_requests"), "", ""),
        (True, _answer(503, "busy"), "", ""),
        (True, _answer(503, "timeout"), "503 timeout", ""),
        (True, httpx.Response(502, text="<html>"), "502", ""),
        (False, _answer(415, "not_an_image"), "", ""),
        (False, _answer(200, files=[A, B]), "", "200 to a bad upload"),
        (False, _answer(500, "internal"), "500 internal", ""),
    ],
)
def test_what_an_answer_is_worth(good, answer, lost, wrong):
    found = load_clients.judge(Upload([b"a", b"b"], good), answer, 1.0)
    assert (found.lost, found.wrong) == (lost, wrong)


def test_how_long_a_client_leaves_the_server_alone():
    for text, seconds in (("7", 7), ("", 0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0)):
        answer = _answer(503, "busy", **{"retry-after": text})
        assert load_clients.judge(Upload([b"a"], True), answer, 1.0).retry == seconds


def test_a_summary():
    one, two, bad = Upload([b"a"], True), Upload([b"a", b"b"], True), Upload([b""], False)
    outcomes = [Outcome(two, 200, float(n)) for n in range(101)]
    outcomes += [Outcome(bad, 415, 500.0), Outcome(one, 0, 900.0, lost="ReadError")]
    outcomes += [Outcome(one, 422, 900.0, wrong="422 no_face to good photos")]
    found = loading.summary(outcomes, 50.0)
    assert found["requests"] == {"sent": 104, "answered": 103, "lost": 1, "wrong": 1}
    assert found["statuses"] == {"200": 101, "415": 1, "422": 1}
    assert found["faults"] == {"ReadError": 1, "422 no_face to good photos": 1}
    good = found["good"]
    assert (good["requests"], good["photos"], good["photos_per_second"]) == (101, 202, 4.04)
    assert good["latency"] == {"median": 50, "p95": 95, "p99": 99, "max": 100}


def test_memory_of_its_first_and_last_minute():
    samples = [10.0, *[20.0] * 59, 900.0, *[30.0] * 60]
    assert loading.memory(samples) == {
        "start": 10,
        "first_minute": 20,
        "last_minute": 30,
        "peak": 900,
        "samples": 121,
    }
    assert loading.memory([]) is None


def test_memory_is_that_of_the_process():
    script = "held = bytearray(b'x') * (int(input()) << 20); print(flush=True); input()"
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    found = []
    for size in (1, 101):
        with subprocess.Popen([sys.executable, "-c", script], **pipes) as child:
            child.stdin.write(f"{size}\n")
            child.stdin.flush()
            child.stdout.readline()
            found.append(load_server.resident(child.pid))
            child.kill()
            child.wait()
            assert load_server.resident(child.pid) is None
    assert found[1] - found[0] == pytest.approx(100, abs=5)


_SLOW = """
import socket, sys, time, uvicorn
from demonstrator.brightness import Brightness
from mint_jax.demonstrator import create_app

class Slow(Brightness):
    def judge(self, faces):
        time.sleep(0.2)
        return super().judge(faces)

listening = socket.create_server(("127.0.0.1", 0))
print("a warning")
print(f"http://127.0.0.1:{listening.getsockname()[1]} (Ctrl+C stops it)", flush=True)
uvicorn.Server(uvicorn.Config(create_app(Slow()), log_level="warning")).run(sockets=[listening])
"""


@pytest.fixture
def slow(tmp_path, monkeypatch):
    """A server in a process of its own, and its address; it has no examples."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'tests'}")
    with load_server.started([sys.executable, "-c", _SLOW], tmp_path / "server.log") as found:
        yield found


def test_an_orderly_end(slow):
    server, address = slow
    found = _run(address, clients=4, seconds=1.2, bad=0, server=server)
    assert found["failures"] == []
    shutdown, memory = found["shutdown"], found["memory_mb"]
    assert 1 <= shutdown["in_flight"] <= shutdown["sent"] == 4 and shutdown["lost"] == 0
    assert server.poll() == shutdown["exit_status"]
    assert memory["samples"] >= 2 and 10 < memory["start"] <= memory["peak"] < 10_000


def test_an_end_that_loses_requests(slow):
    server, address = slow
    abrupt = SimpleNamespace(terminate=server.kill, wait=server.wait)

    async def end():
        async with load_clients.connect(address) as http:
            await load_clients.ready(http)
            return await loading.end(http, [EXAMPLES[0].photos[0]], 4, abrupt)

    shutdown = asyncio.run(end())
    assert shutdown["lost"] >= shutdown["in_flight"] >= 1 and shutdown["exit_status"] == -9
    whole = loading.summary([Outcome(Upload([b"a"], True), 200, 1.0)], 1.0)
    failed = loading.failures(whole | {"counters": None, "shutdown": shutdown})
    assert f"of 4 requests {shutdown['lost']} were lost when the server ended" in failed[0]
    assert failed[1:] == ["the server ended with -9"]


def test_the_command_starts_a_server_and_says_why_it_ended(tmp_path):
    command = [sys.executable, "-m", "experiments.load", f"--workdir={tmp_path / 'new'}"]
    done = subprocess.run(
        [*command, "--audited=/no.onnx"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: the server ended with 1: error: /no.onnx: ")


def test_a_server_that_does_not_start(tmp_path):
    script = "print('no such auditor\\n'); raise SystemExit(3)"
    with pytest.raises(InputError, match="ended with 3: no such auditor"):
        with load_server.started([sys.executable, "-c", script], tmp_path / "log"):
            pass


@pytest.mark.parametrize("address", ["nowhere", "http://[::1", "http://127.0.0.1:1"])
def test_an_address_without_a_server(address):
    with pytest.raises(InputError, match="nowhere|::1|127.0.0.1"):
        _run(address)


def test_a_server_of_another_kind():
    async def other(scope, receive, send):
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body"})

    with served(other) as (_, address):
        with pytest.raises(InputError, match="/readyz answers 404"):
            _run(address)
