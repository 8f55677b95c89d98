"""The command that ports a network."""

import subprocess
import sys
from pathlib import Path

import pytest

from experiments.benchmarks import iresnet_onnx
from mint_jax import audited

ROOT = Path(__file__).resolve().parents[2]


def _command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "experiments.import_weights", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "network.onnx"
    iresnet_onnx.write(path, "iresnet18", size=56, leading=True)
    return path


def test_an_import_is_verified_stored_and_loads(network, tmp_path):
    run = _command(f"--onnx={network}", f"--output={tmp_path / 'model'}")
    assert run.returncode == 0, run.stderr
    direct, stored = audited.load(network), audited.load(tmp_path / "model")
    assert stored.sha256 == direct.sha256 and stored.sha256 in run.stdout
    assert stored.preprocessing == direct.preprocessing
    assert max(stored.info["relative_error"].values()) < 1e-5
    assert all(layer in run.stdout for layer in stored.layers)


def test_bad_input_is_one_line(network, tmp_path):
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(network.read_bytes()[:5000])
    run = _command(f"--onnx={cut}", f"--output={tmp_path / 'model'}")
    assert run.returncode == 1
    assert "cut.onnx" in run.stderr and "Traceback" not in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "model").exists()
