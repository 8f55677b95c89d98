"""Bad input at the command line: one clear line, exit status 1, no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
YOURS = "--config=experiments/configs/your_model.py"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tables", "--workdir={w}", YOURS], "needs onnx="),
        (["tables", "--workdir={w}", "--config=experiments/configs/none.py"], "none.py"),
        (["tables", "--workdir={w}", "--config=experiments/configs/embedded.py:n=3"], "n=3"),
        (["tables", "--config=experiments/configs/embedded.py"], "workdir"),
        (["tables", "--workdir={w}", YOURS + ":onnx=no.onnx,members=a,externals=b"], "no.onnx"),
        (["train_auditor", "everything"], "workdir"),
        (["verify_bundle", "--bundle={w}", "--multihost"], "one process does this"),
    ],
)
def test_bad_input_is_one_line(arguments, words, tmp_path):
    arguments = [argument.format(w=tmp_path) for argument in arguments]
    run = subprocess.run(
        [sys.executable, "-m", f"experiments.{arguments[0]}", *arguments[1:]],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert "Traceback" not in run.stderr + run.stdout
    (line,) = run.stderr.splitlines()
    assert line.startswith("error: ") and words in line


@pytest.mark.parametrize(
    ("environment", "devices"),
    [({}, min(8, len(os.sched_getaffinity(0)))), ({"JAX_NUM_CPU_DEVICES": "3"}, 3)],
)
def test_each_core_is_a_device_unless_the_user_says_otherwise(environment, devices):
    given = {name: v for name, v in os.environ.items() if name != "JAX_NUM_CPU_DEVICES"}
    code = (
        "import jax\nfrom experiments import cli\n"
        "cli.run(lambda argv: print(jax.device_count()), cores=True)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**given, **environment, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(run.stdout.split()[-1]) == devices
