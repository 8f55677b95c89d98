"""Where activations live: the fastest place with room, in words, and the same auditor anywhere."""

import errno
import logging
import os
import signal
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

from mint_jax import memory, parallel
from mint_jax.auditors import CNN, FitConfig, Vanilla, fit_population, placement, schedule
from mint_jax.auditors.division import Whole
from mint_jax.auditors.feed import Feed
from mint_jax.errors import InputError
from mint_jax.preemption import Preempted

GB = 1_000_000_000
ROWS = np.broadcast_to(np.float16(0), (GB // 40, 10))  # 1 GB as float32


class Stored:
    """Read by its rows, like `ROWS`."""

    shape = ROWS.shape


@pytest.mark.parametrize(
    "features, device, host, where, reason",
    [
        (ROWS, 2, 0, "device", "live on the device: 1 GB, and there is room for 1.4 GB on the dev"),
        (Stored(), 2, 2, "device", "room for 1.4 GB on the device"),
        (Stored(), 2, 1, "store", "1.4 GB on the device and 0.7 GB in host memory"),
        (ROWS, 1.4, 0, "host", "a few steps at a time: 1 GB, and there is room for 0.98 GB on the"),
        (Stored(), 1.4, 2, "host", "0.98 GB on the device and 1.4 GB in host memory"),
        (Stored(), 1.4, 1.4, "store", "0.98 GB on the device and 0.98 GB in host memory"),
        ({"a": ROWS, "b": ROWS}, 2, 0, "host", "2 GB, and there is room for 1.4 GB"),
        ({"a": ROWS, "b": Stored()}, 2, 2, "store", "stay on disk"),
        (ROWS.astype(jnp.bfloat16), 1, 0, "device", "live on the device: 0.5 GB"),
    ],
)
def test_the_fastest_place_with_room(features, device, host, where, reason):
    found = placement.choose(features, device * GB, host * GB)
    assert found.where == where and reason in found.reason


def test_what_is_asked_for(tmp_path):
    mapped = np.memmap(tmp_path / "rows", np.float32, "w+", shape=(3, 2))
    for place in placement.PLACES:
        assert placement.choose(mapped, 0, 0, place).where == place
    with pytest.raises(InputError, match="in memory"):
        placement.choose(ROWS, 0, 0, "store")
    with pytest.raises(InputError, match="'disk' is none of device, host, store"):
        FitConfig(place="disk")


def _fit(toy, features, place, **options):
    _, _, labels, train, held = toy
    config = FitConfig(epochs=2, batch_size=16, place=place)  # 15 steps, 2 segments
    parts = train[2:], held[2:], [1]
    return fit_population(Vanilla("conv1"), features, labels, *parts, config, **options)


@pytest.fixture
def mapped(vanilla_toy, tmp_path):
    features = np.memmap(tmp_path / "vectors", np.float32, "w+", shape=vanilla_toy[1].shape)
    features[:] = vanilla_toy[1]
    return features


def test_the_same_auditor_wherever_activations_live(vanilla_toy, mapped):
    x = vanilla_toy[1]
    expected = _fit(vanilla_toy, x, "device").predict(x)
    for features, place in ((x, "host"), *((mapped, place) for place in placement.PLACES)):
        found = _fit(vanilla_toy, features, place).predict(x)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_bfloat16_stays_what_it_is_and_trains_as_its_float32(cnn_toy, tmp_path):
    _, x, labels, train, held = cnn_toy
    rounded = x.astype(jnp.bfloat16)
    mapped = np.memmap(tmp_path / "maps", rounded.dtype, "w+", shape=x.shape)
    mapped[:] = rounded
    halves = placement.joined(rounded[:300], rounded[300:])
    assert isinstance(halves, placement.Joined) and not placement.stored(halves)

    def fit(features, place):
        config = FitConfig(epochs=2, place=place)
        parts = train[:1], held[:1], [1]
        return fit_population(CNN("conv2"), features, labels, *parts, config).predict(features)

    expected = fit(rounded.astype(np.float32), "device")
    found = {"device": rounded, "host": rounded, "store": mapped}
    for place, features in (*found.items(), ("device", halves), ("host", halves)):
        np.testing.assert_allclose(fit(features, place), expected, atol=1e-5)
    members = schedule.parts(labels, train[:1], held[:1], [1])
    for place in ("device", "host"):
        handed, batch = next(Feed(halves, members, 16, place, Whole).training(members, 1, 0))
        own, rows = np.asarray(handed)[0], np.asarray(batch["rows"])[0, 0, 0]
        assert own.dtype == jnp.bfloat16
        np.testing.assert_array_equal(own[rows], rounded[schedule.shuffled(members[0], 1)[:16]])


def test_a_training_goes_on_in_another_place(vanilla_toy, mapped, tmp_path, monkeypatch):
    x, epochs, folder = vanilla_toy[1], [], tmp_path / "unfinished"
    with monkeypatch.context() as patch, pytest.raises(Preempted):
        stop = lambda self: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
        patch.setattr("mint_jax.auditors.progress.Checkpoints.due", stop)
        _fit(vanilla_toy, mapped, "store", workdir=folder)  # after 8 steps

    def on_epoch(auditors, epoch, losses):
        epochs.append(epoch)

    found = _fit(vanilla_toy, x, "device", workdir=folder, on_epoch=on_epoch)
    expected = _fit(vanilla_toy, x, "device")
    np.testing.assert_allclose(found.predict(x), expected.predict(x), atol=1e-5)
    assert epochs == [1, 2] and len([*folder.iterdir()]) == 1  # both runs know it as their own


def test_rows_of_two_arrays_are_read_when_they_are_asked_for(mapped):
    other = np.arange(3.0 * mapped.shape[1]).reshape(3, -1)
    both = placement.joined(mapped, other)
    expected = np.concatenate([mapped, other])
    assert placement.stored(both) and both.shape == expected.shape and len(both) == len(expected)
    for rows in (slice(None), slice(2, None, 7), np.array([len(mapped), 0, len(mapped) - 1, 0])):
        np.testing.assert_array_equal(both[rows], expected[rows])
    assert isinstance(placement.joined(other, other), np.ndarray)
    half = placement.joined(*[other.astype(jnp.bfloat16)[:, None]] * 2)
    assert half.dtype == half[:4].dtype == jnp.bfloat16


def test_an_array_on_disk_is_in_no_folder_and_needs_room(tmp_path, monkeypatch):
    array = memory.on_disk(tmp_path / "made", (5, 2), np.float32)
    assert placement.stored(array) and array.dtype == np.float32 and not array.any()
    array[3] = 1
    assert array.sum() == 2 and not [*(tmp_path / "made").iterdir()]
    half = memory.on_disk(tmp_path / "made", (5, 2), jnp.bfloat16)
    half[3] = 1
    assert half.nbytes == 20 and half.dtype == jnp.bfloat16 and half.astype(float).sum() == 2

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(InputError, match="made: no room for 4e-08 GB of activations: No space"):
        memory.on_disk(tmp_path / "made", (5, 2), np.float32)


def test_rows_of_processes_are_gathered_on_disk(tmp_path, monkeypatch):
    expected = np.arange(14, dtype=np.float32).reshape(7, 2)
    shares = np.split(np.concatenate([expected, expected[-1:]]), 2)
    pieces = iter(np.split(np.stack(shares), [3], axis=1))
    monkeypatch.setattr(parallel, "process_count", lambda: 2)
    monkeypatch.setattr(parallel, "gather", lambda own: next(pieces))
    monkeypatch.setattr(parallel, "_PIECE_BYTES", 3 * 2 * 4)
    found = parallel.gather_rows(shares[0], len(expected), partial(memory.on_disk, tmp_path))
    assert placement.stored(found)
    np.testing.assert_array_equal(found, expected)


def test_the_place_is_chosen_and_said(vanilla_toy, mapped, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "mint_jax.auditors.fit")
    for device, host, where in ((GB, GB, "device"), (0, GB, "host memory"), (0, 0, "on disk")):
        monkeypatch.setattr(parallel, "free_memory", lambda: (device, host))  # noqa: B023
        caplog.clear()
        _fit(vanilla_toy, mapped, None)
        (line,) = caplog.messages
        assert line.startswith("vanilla auditor, conv1: activations ") and where in line


def test_memory_is_that_of_the_machine_shared_by_devices(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 8 * GB)
    assert parallel.free_memory() == (8 * GB // parallel.device_count(), 8 * GB)


def test_memory_within_the_limits_of_control_groups(tmp_path):
    machine = memory.available(tmp_path)
    assert machine > 1 << 20
    group = tmp_path / "sys/fs/cgroup/pods/own"
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("4:memory:/other\n0::/pods/own\n")
    for folder, limit in ((group, "max\n"), (group.parent, "5000\n")):
        (folder / "memory.max").write_text(limit)
        (folder / "memory.current").write_text("4000\n")
        (folder / "memory.stat").write_text("anon 2500\ninactive_file 1500\n")
    assert memory.available(tmp_path) == 2500
    (group / "memory.max").write_text("2000\n")
    assert memory.available(tmp_path) == 0
