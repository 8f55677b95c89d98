"""The lab's command by two processes: SIGTERM to one stops both, and they go on together."""

import json
import os
import subprocess
import sys
from pathlib import Path

from miniatures.labs import write_lab

ROOT = Path(__file__).resolve().parents[2]
STOPPED = """
import os, runpy, signal, sys
import jax
from mint_jax import parallel
from mint_jax.lab import training
finite = training._finite

def make_step(config, optimizer):  # instead of one that takes long to compile
    def step(state, batch):
        loss = jax.lax.pmean(batch["position"].astype(float).mean(), parallel.AXIS)
        return state | {"step": state["step"] + 1}, loss
    return parallel.pmap(step, over_processes=True)

def stop(loss, epoch, step):
    assert finite(loss, epoch, step) == 3.5  # the mean of 0 .. 7: each process has its own half
    if (epoch, step) == (1, 0) and "--process=1" in sys.argv:
        os.kill(os.getpid(), signal.SIGTERM)
    return finite(loss, epoch, step)

training.make_step, training._finite = make_step, stop
runpy.run_module("experiments.train_audited", run_name="__main__", alter_sys=True)
"""


def test_sigterm_to_one_process_stops_both_and_they_go_on(tmp_path):
    """The signal comes while the second epoch's second step is under way."""
    write_lab(tmp_path)
    run = launch(tmp_path)
    assert run.returncode == 143, run.stderr
    for rank in range(2):
        assert f"[{rank}] stopped by SIGTERM: the same command goes on from here" in run.stderr
    assert [path.name for path in (tmp_path / "work" / "checkpoints").iterdir()] == ["5"]

    run = launch(tmp_path)
    assert run.returncode == 0, run.stderr
    printed = [line for line in run.stdout.splitlines() if "Gloo" not in line]
    assert printed[:2] == [
        "[0] small: 24 member images, 2 epochs",
        "[0] training loss 3.50 to 3.50",
    ]
    assert not any(line.startswith("[1]") for line in printed)
    assert (tmp_path / "work" / "model" / "manifest.json").exists()
    lines = (tmp_path / "work" / "metrics.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert [(line["step"], line["loss"]) for line in found] == [(i, 3.5) for i in range(1, 7)]
    assert [line["learning_rate"] > 0 for line in found] == [False, *[True] * 5]  # a warm-up
    run = json.loads((tmp_path / "work" / "run.json").read_text())
    assert run["processes"] == 2 and [x["processes"] for x in run["earlier"]] == [2]


def launch(folder):
    flags = [f"--config={folder / 'config.py'}", f"--workdir={folder / 'work'}"]
    return subprocess.run(
        [sys.executable, "-m", "launch.local", "--processes=2", "--"]
        + [sys.executable, "-c", STOPPED, *flags],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
