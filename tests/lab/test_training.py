"""Training: it learns, resumes, spreads over devices, and stops where the loss is NaN."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from mint_jax.errors import InputError
from mint_jax.lab import TrainConfig, train, training
from mint_jax.lab.step import init_state
from mint_jax.lab.training import epoch_rows
from mint_jax.preemption import Preempted

CONFIG = TrainConfig(
    {
        "kind": "iresnet",
        "name": "iresnet18",
        "width": 0.0625,
        "embedding_size": 8,
        "input_size": 16,
    },
    epochs=4,
    batch_size=8,
    optimizer="adamw",
    learning_rate=1e-2,
    shift=1,
)
LABELS = np.repeat(np.arange(4), 6)
DEVICES = """
import json, sys
import numpy as np
from mint_jax import parallel
from mint_jax.lab import TrainConfig, train
config, images, labels, *others = sys.argv[1:]
coordinator, processes, process = (flag.partition("=")[2] for flag in others)
parallel.join(coordinator, int(processes), int(process))
config = TrainConfig(**json.loads(config))
trained = train(config, np.load(images), np.load(labels), epochs=1)
print("losses", json.dumps(trained.losses.tolist()))
"""


@pytest.fixture(scope="module", autouse=True)
def compile_once(tmp_path_factory):
    """Keeps the compiled step between the tests of this module."""
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("xla")))
    yield
    jax.config.update("jax_compilation_cache_dir", before)


@pytest.fixture(scope="module")
def images():
    """Four people: each a colour pattern with noise."""
    rng = np.random.default_rng(0)
    faces = rng.integers(0, 256, (4, 16, 16, 3))
    return np.clip(faces[LABELS] + rng.normal(0, 20, (24, 16, 16, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def uninterrupted(images, compile_once):
    return train(CONFIG, images, LABELS)


def test_the_loss_falls(uninterrupted):
    assert uninterrupted.losses.shape == (4, 3)
    first, *_, last = uninterrupted.losses.mean(axis=1)
    assert last < 0.75 * first


def test_a_resumed_training_equals_an_uninterrupted_one(uninterrupted, images, tmp_path):
    told = []
    on_step = lambda *step: told.append(step)  # noqa: E731
    train(CONFIG, images, LABELS, workdir=tmp_path, epochs=2, on_step=on_step)
    resumed = train(CONFIG, images, LABELS, workdir=tmp_path, on_step=on_step)
    counts, losses, rates = zip(*told)
    assert counts == tuple(range(1, 13))
    np.testing.assert_array_equal(losses, uninterrupted.losses.ravel())
    warmup, fall = np.arange(3) / 3, (1 + np.cos(np.pi * np.arange(9) / 9)) / 2
    np.testing.assert_allclose(rates, 1e-2 * np.concatenate([warmup, fall]), atol=1e-8)
    np.testing.assert_array_equal(resumed.losses, uninterrupted.losses)
    jax.tree.map(np.testing.assert_array_equal, resumed.variables, uninterrupted.variables)
    jax.tree.map(np.testing.assert_array_equal, resumed.head, uninterrupted.head)


def test_sigterm_saves_within_an_epoch(uninterrupted, images, tmp_path, monkeypatch):
    """It comes while the second epoch's second step is under way."""
    finite = training._finite

    def stop(loss, epoch, step):
        if (epoch, step) == (1, 0):
            os.kill(os.getpid(), signal.SIGTERM)
        return finite(loss, epoch, step)

    with monkeypatch.context() as patch, pytest.raises(Preempted):
        patch.setattr(training, "_finite", stop)
        train(CONFIG, images, LABELS, workdir=tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["5"]
    resumed = train(CONFIG, images, LABELS, workdir=tmp_path)
    np.testing.assert_array_equal(resumed.losses, uninterrupted.losses)
    jax.tree.map(np.testing.assert_array_equal, resumed.variables, uninterrupted.variables)


def test_two_processes_of_two_devices_train_as_one_does(uninterrupted, images, tmp_path):
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "labels.npy", LABELS)
    run = subprocess.run(
        [
            *(sys.executable, "-m", "launch.local", "--processes=2", "--devices_per_process=2"),
            *("--", sys.executable, "-c", DEVICES, json.dumps(CONFIG.to_json())),
            *(tmp_path / "images.npy", tmp_path / "labels.npy"),
        ],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    first, second = re.findall(r"losses (.*)", run.stdout)
    assert first == second
    np.testing.assert_allclose(json.loads(first), uninterrupted.losses[:1], rtol=1e-3)


def test_a_loss_that_is_not_finite_stops_the_training(images, monkeypatch):
    def broken(*args):
        state = init_state(*args)
        state["params"]["head"]["prototypes"] *= np.nan
        return state

    monkeypatch.setattr("mint_jax.lab.training.init_state", broken)
    with pytest.raises(InputError, match="loss is nan at step 1 of epoch 1"):
        train(CONFIG, images, LABELS, epochs=1)


def test_each_epoch_takes_every_image_once_in_another_order():
    first, second = (epoch_rows(27, CONFIG, epoch) for epoch in (0, 1))
    assert first.shape == (3, 8)
    assert len(np.unique(first)) == 24 and first.max() < 27
    assert (first != second).any()


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (lambda x, y: (x[:, :8], y), r"uint8 \(16, 16, 3\)"),
        (lambda x, y: (x.astype(np.float32), y), "float32"),
        (lambda x, y: (x, y[:-1]), "24 images need as many labels"),
        (lambda x, y: (x[:7], y[:7]), "7 training images do not fill a batch of 8"),
    ],
)
def test_input_that_does_not_fit_is_refused(images, broken, reason):
    with pytest.raises(InputError, match=reason):
        train(CONFIG, *broken(images, LABELS))
