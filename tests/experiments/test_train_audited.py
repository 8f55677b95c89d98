"""The lab's command by two processes: SIGTERM to one stops and saves both at the same step."""

import os
import subprocess
import sys
from pathlib import Path

from miniatures.photos import jpeg, photo

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
from ml_collections import ConfigDict


def get_config():
    architecture = dict(kind="iresnet", name="iresnet18", input_size=16)
    architecture |= dict(width=0.0625, embedding_size=8)
    return ConfigDict(
        dict(
            name="small",
            source=dict(kind="folder", path={path!r}),
            split=dict(by="identity", members=0.5, seed=3),
            labels="identity",
            training=dict(architecture=architecture, epochs=2, batch_size=8),
            verification_images=8,
            workers=0,
        )
    )
"""
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


def test_sigterm_to_one_process_saves_and_stops_both(tmp_path):
    """The signal comes while the second epoch's second step is under way."""
    for i in range(48):
        path = tmp_path / "photos" / f"{i // 3:02d}" / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(photo(i, 112, 112)))
    (tmp_path / "config.py").write_text(CONFIG.format(path=str(tmp_path / "photos")))
    flags = [f"--config={tmp_path / 'config.py'}", f"--workdir={tmp_path / 'work'}"]
    run = subprocess.run(
        [sys.executable, "-m", "launch.local", "--processes=2", "--"]
        + [sys.executable, "-c", STOPPED, *flags],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 143, run.stderr
    for rank in range(2):
        assert f"[{rank}] stopped by SIGTERM: the same command goes on from here" in run.stderr
    assert [path.name for path in (tmp_path / "work" / "checkpoints").iterdir()] == ["5"]
