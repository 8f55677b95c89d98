"""The command that serves the platform: from its first line to its end."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
import warnings

import cv2
import numpy as np
import pytest

from experiments import serve
from mint_jax import audited, auditors
from mint_jax.errors import InputError
from mint_jax.evidence import support

MODEL = "iresnet18:random=0,width=0.125,embedding_size=16,input_size=32"
NAME = "my-secret-name.png"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An auditor of noise, as an audit without matched non-members exports it."""
    rows, truth = np.random.default_rng(0).standard_normal((80, 16)), np.arange(40) % 2
    config = auditors.NeighbourConfig(top=(3,))
    gate = support.Gate({"sharpness": (-10.0, 10.0)}, 0.99, 1000)
    meta = {
        "evidence": {
            "gate": {
                "passed": False,
                "smallest_advantage": None,
                "against": None,
                "reasons": ["It is not shown."],
            },
            "headline": "Membership cannot be determined.",
            "target_fpr": 0.01,
            "operating_points": {"0.01": None},
        },
        "support": gate.to_json(),
        "preparation": {"align": "auto", "antialias": True, "detector": None, "quality": None},
    }
    auditor = auditors.fit_neighbours(
        rows[:40], truth, rows[40:60], rows[60:], np.ones((1, 40), bool), config
    ).auditor(0, audited_sha256=audited.load(MODEL).sha256, **meta)
    path = tmp_path_factory.mktemp("audit") / "chosen"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        auditors.save(auditor, path)
    return path


def _post(url, data):
    """Sends a photo as a form of one field."""
    head = f'--b\r\nContent-Disposition: form-data; name="photos"; filename="{NAME}"\r\n\r\n'
    body = head.encode() + data + b"\r\n--b--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    return json.load(urllib.request.urlopen(urllib.request.Request(url, body, kind), timeout=60))


def test_from_the_first_line_to_the_last(folder, tmp_path):
    command = [sys.executable, "-m", "experiments.serve", f"--auditors={folder}", "--port=0"]
    # absl splits at commas, of which this specification has some: csv quoting keeps them
    command.append(f'--audited="{MODEL}"')
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    try:
        lines = []
        while not lines or not lines[-1].startswith("http://127.0.0.1:"):
            lines.append(process.stderr.readline())
            assert lines[-1], lines
        address = lines[-1].split()[0]
        noise = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
        data = cv2.imencode(".png", noise)[1].tobytes()
        (photo,) = _post(f"{address}/api/v1/run", data)["photos"]
        (face,) = photo["faces"]
        assert photo["name"] == NAME and face["box"] == [0, 0, 112, 112]
        (model,) = face["models"]
        assert (model["verdict"], model["reason"]) == ("cannot_tell", "audit_cannot_tell")
        assert 0 < model["score"] < 1 and model["p_value"] is None
        assert b"<html" in urllib.request.urlopen(address).read()
        process.send_signal(signal.SIGTERM)
        log, rest = process.communicate(timeout=60)
        assert process.returncode in (0, -signal.SIGTERM), rest
    finally:
        process.kill()
        process.wait()
    assert NAME not in log + rest and "Traceback" not in rest
    requests = [json.loads(line) for line in log.splitlines()]
    assert [(line["route"], line["status"]) for line in requests] == [
        ("/api/v1/run", 200),
        ("/", 200),
    ]
    assert requests[0]["faces"] == 1
    assert not [path for path in temporary.rglob("*") if path.is_file()]


def test_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"--port={port}: Address already in use"):
            serve._listen("127.0.0.1", port)


def test_an_address_that_is_not_here():
    for host in ("203.0.113.1", "no such host"):
        with pytest.raises(InputError, match=f"--host={host} --port=0: ") as refused:
            serve._listen(host, 0)
        assert "\n" not in str(refused.value)


def test_addresses_of_both_families():
    for host in ("127.0.0.1", "::1"):
        try:
            found = serve._listen(host, 0)
        except InputError:
            assert host == "::1"  # a machine without IPv6
            continue
        assert found.getsockname()[0] == host
        found.close()
