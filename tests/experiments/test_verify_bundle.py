"""`experiments.verify_bundle`: a line a check, and an exit status that says whether one failed."""

import subprocess
import sys
from pathlib import Path

import pytest
from evidence import bundles

from mint_jax.evidence import bundle

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit")
    return bundle.write(folder / "evidence", bundles.make(folder))


def _run(path):
    command = [sys.executable, "-m", "experiments.verify_bundle", f"--bundle={path}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_what_was_not_changed(path):
    run = _run(path)
    assert run.returncode == 0 and run.stderr == ""
    lines = run.stdout.splitlines()
    assert len(lines) == len(bundle.verify(path))
    assert {line.split()[0] for line in lines} == {"passed", "noted"}


def test_a_claim_that_was_changed(path, tmp_path):
    document = bundle.read(path)
    document["claims"]["headline"] += " Certainly."
    document["digest"] = bundle.digest(document)
    run = _run(bundle.write(tmp_path, document))
    assert run.returncode == 1 and "FAILED  headline: " in run.stdout
    (line,) = run.stderr.splitlines()
    assert line.startswith("error: ") and line.endswith("failed: headline")


def test_no_bundle(tmp_path):
    run = _run(tmp_path / "none.json")
    assert run.returncode == 1 and run.stdout == ""
    (line,) = run.stderr.splitlines()
    assert line.startswith("error: ") and "none.json" in line
