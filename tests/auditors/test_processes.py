"""Several processes train the auditors of one, and go on with what was stopped."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from chaos import run_to_the_end

from experiments import cli
from mint_jax import parallel
from mint_jax.auditors import CNN, FitConfig, Vanilla, fit_population
from mint_jax.preemption import Preempted

_ROOT = Path(__file__).resolve().parents[2]
_CONFIG = FitConfig(epochs=3, batch_size=63)  # which does not divide over two processes
_STREAMED = FitConfig(epochs=2, place="host")
_FULL = os.environ.get("MINT_TEST_FULL") == "1"
_KILLS, _EPOCHS = (20, 160) if _FULL else (1, 24)
_LONG = FitConfig(epochs=_EPOCHS, patience=_EPOCHS)
_PROGRAM = "import test_processes; test_processes.main()"
_SLOW = f"""
import time
from mint_jax.auditors import progress

def due(self):
    time.sleep(0.1)
    return True

progress.Checkpoints.due = due
{_PROGRAM}
"""


def _several(given, **options):
    """Three auditors of several sizes: each process trains whole ones."""
    module, x = Vanilla("conv1"), given["vectors"]
    parts = given["train"], given["held"], [5, 6, 7]
    return fit_population(module, x, given["labels"], *parts, _CONFIG, **options)


def _one(given, **options):
    """One auditor: both processes train it, each on its half of every batch."""
    parts = given["train"][:1], given["held"][:1], [5]
    return fit_population(
        Vanilla("conv1"), given["vectors"], given["labels"], *parts, _CONFIG, **options
    )


def _streamed(given, **options):
    """One that gets its maps a few steps at a time."""
    parts = given["maps_train"][:1], given["maps_held"][:1], [1]
    labels = given["maps_labels"]
    return fit_population(CNN("conv2"), given["maps"], labels, *parts, _STREAMED, **options)


def _long(given, **options):
    """One whose training takes a while."""
    parts = given["train"][1:2], given["held"][1:2], [3]
    module = Vanilla("conv1")
    return fit_population(module, given["vectors"], given["labels"], *parts, _LONG, **options)


_CASES = {"several": _several, "one": _one, "streamed": _streamed}
_READS = {"several": "vectors", "one": "vectors", "streamed": "maps", "long": "vectors"}


def main():
    """What each process runs: cases by their names."""

    def run(argv):
        folder, given = Path(_FOLDER.value), np.load(Path(_FOLDER.value) / "given.npz")
        cases = _CASES | {"long": _long}
        fitted = {k: cases[k](given, workdir=folder / "unfinished") for k in _NAMES.value}
        if not parallel.process_index():
            np.savez(
                folder / "found.npz", **{k: v.predict(given[_READS[k]]) for k, v in fitted.items()}
            )

    cli.run(run, multihost=True)


_FOLDER = flags.DEFINE_string("folder", None, "of given.npz, unfinished and found.npz")
_NAMES = flags.DEFINE_list("cases", None, "which auditors are trained")


def _start(folder, processes, cases, program=_PROGRAM):
    command = [sys.executable, "-m", "launch.local", f"--processes={processes}", "--"]
    command += [sys.executable, "-c", program, f"--folder={folder}", f"--cases={','.join(cases)}"]
    path = os.pathsep.join(str(_ROOT / name) for name in ("", "tests", "tests/auditors"))
    environment = os.environ | {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        command,
        cwd=_ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


@pytest.fixture(scope="module")
def given(vanilla_toy, cnn_toy):
    _, vectors, labels, train, held = vanilla_toy
    _, maps, maps_labels, maps_train, maps_held = cnn_toy
    return {
        "vectors": vectors,
        "labels": labels,
        "train": train,
        "held": held,
        "maps": maps,
        "maps_labels": maps_labels,
        "maps_train": maps_train,
        "maps_held": maps_held,
    }


@pytest.fixture(scope="module")
def alone(given):
    """What one process that nothing stops trains."""
    return {name: case(given) for name, case in _CASES.items()}


class _Stop:
    """Sends SIGTERM after an epoch, or never; remembers (auditors, epoch)."""

    def __init__(self, after=None):
        self.seen, self._after = [], after

    def __call__(self, auditors, epoch, losses):
        assert losses.shape == (len(auditors),)
        self.seen.append((tuple(auditors), epoch))
        if epoch == self._after:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("name", _CASES)
def test_sigterm_saves_and_the_same_call_ends_with_the_same_bits(given, alone, tmp_path, name):
    case, x = _CASES[name], given[_READS[name]]
    stopped, whole = _Stop(after=1), _Stop()
    with pytest.raises(Preempted):
        case(given, workdir=tmp_path, on_epoch=stopped)
    fitted = case(given, workdir=tmp_path, on_epoch=whole)
    np.testing.assert_array_equal(fitted.predict(x), alone[name].predict(x))
    np.testing.assert_array_equal(fitted.validation_loss, alone[name].validation_loss)
    assert len(stopped.seen) == 1 and not set(stopped.seen) & set(whole.seen)


def test_another_call_does_not_go_on(given, tmp_path):
    with pytest.raises(Preempted):
        _one(given, workdir=tmp_path, on_epoch=_Stop(after=1))
    other = _Stop()
    _one(given | {"vectors": given["vectors"] * 2}, workdir=tmp_path, on_epoch=other)
    assert [epoch for _, epoch in other.seen] == [1, 2, 3]


@pytest.mark.parametrize("began", [pytest.param(False, marks=pytest.mark.full), True])
def test_two_processes_train_the_auditors_of_one(given, alone, tmp_path, began):
    """From the start, or from where one process was stopped."""
    np.savez(tmp_path / "given.npz", **given)
    for case in _CASES.values() if began else ():
        with pytest.raises(Preempted):
            case(given, workdir=tmp_path / "unfinished", on_epoch=_Stop(after=1))
    run = _start(tmp_path, 2, _CASES)
    _, errors = run.communicate()
    assert run.returncode == 0, errors
    found = np.load(tmp_path / "found.npz")
    for name in _CASES:
        expected = alone[name].predict(given[_READS[name]])
        np.testing.assert_allclose(found[name], expected, atol=1e-5)


@pytest.mark.parametrize("processes", [(1,), pytest.param((2, 1), marks=pytest.mark.full)])
def test_a_training_survives_chaos(given, tmp_path, processes):
    """Killed at random it ends as if it had not been, on any number of processes."""

    def start(run):
        return _start(tmp_path, processes[run % len(processes)], ["long"], _SLOW)

    def checkpoints():
        steps = (tmp_path / "unfinished").glob("*/*/[0-9]*")
        return max((int(path.name) for path in steps if path.name.isdigit()), default=0)

    np.savez(tmp_path / "given.npz", **given)
    assert run_to_the_end(start, checkpoints, _EPOCHS, _KILLS, seed=1) == _KILLS
    expected = _long(given).predict(given["vectors"])
    found = np.load(tmp_path / "found.npz")["long"]
    if processes == (1,):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(found, expected, atol=1e-5)
