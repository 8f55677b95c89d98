"""The Grain loader: order, shards, padding, bad images, workers that go away."""

import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp
import pytest

from data_pipelines import loader
from data_pipelines.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
KILLED = """
import itertools, os, signal, threading, time
import numpy as np
from data_pipelines import loader

class Grey:
    def __len__(self):
        return 400

    def __getitem__(self, index):
        return {"image": np.zeros((112, 112, 3), np.uint8)}

def send():
    while True:
        os.killpg(0, signal.SIGTERM)
        time.sleep(0.01)

heard = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: heard.set())
threading.Thread(target=send, daemon=True).start()
batches = loader.batches(Grey(), 4, workers=2)
print(len(list(itertools.islice(batches, 50))), heard.is_set(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


class Numbers:
    """n images, all pixels of image i are i; images in `bad` cannot be read."""

    def __init__(self, n, bad=()):
        self.n, self.bad = n, bad

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        assert type(index) is int and 0 <= index < self.n
        if index in self.bad:
            raise InputError(f"{index}.jpg: cut off")
        return {"image": np.full((112, 112, 3), index, np.uint8)}


def _all_gone(seconds=30):
    """Whether every child process ends, on a busy machine too."""
    for child in multiprocessing.active_children():
        child.join(seconds)
    return not multiprocessing.active_children()


def _rows(batches):
    """Indices of the good rows, each batch's checked against its pixels."""
    rows = []
    for batch in batches:
        mask = batch["_mask"]
        assert batch["image"].dtype == np.uint8 and batch["index"].dtype == np.int64
        assert (batch["image"] == np.where(mask, batch["index"], 0)[:, None, None, None]).all()
        rows.append(batch["index"][mask].tolist())
    return rows


def test_the_order_is_the_sources_and_the_last_batch_is_padded():
    batches = list(loader.batches(Numbers(10), 4))
    assert _rows(batches) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert batches[-1]["_mask"].tolist() == [True, True, False, False]
    assert all(batch["image"].shape == (4, 112, 112, 3) for batch in batches)
    assert batches[-1]["error"] == [""] * 4


def test_each_epoch_is_another_permutation():
    batches = list(loader.batches(Numbers(30), 8, shuffle_seed=1, epochs=2))
    first, second = (sum(_rows(batches[i : i + 4]), []) for i in (0, 4))
    assert sorted(first) == sorted(second) == list(range(30))
    assert first != second != list(range(30)) != first
    again = loader.batches(Numbers(30), 8, shuffle_seed=1, epochs=2)
    assert _rows(again) == _rows(batches)
    assert _rows(loader.batches(Numbers(30), 8, shuffle_seed=2)) != _rows(batches)[:4]


@pytest.mark.parametrize("n, shards", [(10, 3), (9, 3), (2, 4), (17, 2)])
@pytest.mark.parametrize("seed", [None, 0])
def test_shards_cover_everything_once_in_equal_numbers_of_batches(n, shards, seed):
    parts = [
        _rows(loader.batches(Numbers(n), 4, shard_index=i, shard_count=shards, shuffle_seed=seed))
        for i in range(shards)
    ]
    assert len({len(part) for part in parts}) == 1
    assert sorted(sum(sum(parts, []), [])) == list(range(n))


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_the_order_does_not_depend_on_the_number_of_processes(shards):
    options = {"shuffle_seed": 4, "epochs": 2}
    alone = sum(_rows(loader.batches(Numbers(23), 6, **options)), [])
    parts = [
        _rows(loader.batches(Numbers(23), 6, shard_index=i, shard_count=shards, **options))
        for i in range(shards)
    ]
    together = []
    for step in zip(*parts, strict=True):  # the k-th batches of all: images in turn
        together += [rows[i] for i in range(6) for rows in step if i < len(rows)]
    assert together == alone


@pytest.mark.parametrize("stop", [0, 1, 4, 7, 8])
@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.full)])
def test_orbax_keeps_the_state_beside_what_it_feeds(tmp_path, stop, workers):
    options = {"shuffle_seed": 3, "epochs": 2}
    whole = _rows(loader.batches(Numbers(10), 3, **options))
    iterator = loader.batches(Numbers(10), 3, **options)
    fed = sum(_rows(itertools.islice(iterator, stop)), [])
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
        args = ocp.args.Composite(
            fed=ocp.args.StandardSave({"sum": np.array(sum(fed))}),
            data=ocp.args.JsonSave(iterator.get_state()),
        )
        checkpointer.save(tmp_path / "step", args=args)
        names = {"fed": ocp.args.StandardRestore(), "data": ocp.args.JsonRestore()}
        restored = checkpointer.restore(tmp_path / "step", args=ocp.args.Composite(**names))
    iterator.close()
    rest = loader.batches(Numbers(10), 3, state=restored["data"], workers=workers, **options)
    assert len(rest) == 8 - stop
    assert _rows(rest) == whole[stop:]
    assert int(restored["fed"]["sum"]) == sum(sum(whole[:stop], []))


@pytest.mark.parametrize("before, after", [(1, 2), (2, 1), (3, 2)])
def test_a_job_goes_on_with_another_number_of_processes(before, after):
    def shares(count, **options):
        return [
            loader.batches(
                Numbers(41),
                4,
                shard_index=i,
                shard_count=count,
                shuffle_seed=8,
                epochs=2,
                **options,
            )
            for i in range(count)
        ]

    first = shares(before)
    seen = [sum(_rows(itertools.islice(share, 2)), []) for share in first]
    (state,) = {json.dumps(share.get_state()) for share in first}
    rest = [sum(_rows(share), []) for share in shares(after, state=json.loads(state))]
    assert sorted(sum(seen + rest, [])) == sorted(2 * list(range(41)))


def test_a_state_of_another_order_is_refused():
    state = loader.batches(Numbers(10), 3, shuffle_seed=1).get_state()
    for source, seed in ((Numbers(11), 1), (Numbers(10), None)):
        with pytest.raises(InputError, match="another order"):
            loader.batches(source, 3, shuffle_seed=seed, state=state)


def test_bad_images_are_rows_that_say_why():
    batches = list(loader.batches(Numbers(6, bad=(1, 5)), 4, keep_bad=True))
    assert _rows(batches) == [[0, 2, 3], [4]]
    assert batches[0]["error"] == ["", "1.jpg: cut off", "", ""]
    assert batches[1]["error"] == ["", "5.jpg: cut off", "", ""]
    assert batches[1]["index"].tolist()[:2] == [4, 5]
    with pytest.raises(InputError, match="^1.jpg: cut off$"):
        list(loader.batches(Numbers(6, bad=(1, 5)), 4))


def test_an_empty_source_is_an_error():
    with pytest.raises(InputError, match="no images"):
        loader.batches(Numbers(0), 4)


def test_an_error_of_ours_is_not_taken_for_a_bad_image():
    class Broken(Numbers):
        def __getitem__(self, index):
            raise KeyError("a mistake in the source")

    with pytest.raises(KeyError, match="mistake"):
        list(loader.batches(Broken(3), 2, keep_bad=True))


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.full)])
def test_workers_change_nothing_and_go_away(workers):
    source, options = Numbers(23, bad=(7,)), {"shuffle_seed": 5, "epochs": 2, "keep_bad": True}
    alone = list(loader.batches(source, 4, **options))
    helped = list(loader.batches(source, 4, workers=workers, **options))
    assert len(alone) == len(helped) == 12
    for a, b in zip(alone, helped):
        assert a["error"] == b["error"] and type(b["image"]) is np.ndarray
        for key in ("image", "index", "_mask"):
            np.testing.assert_array_equal(a[key], b[key])
    assert _all_gone()


def test_workers_leave_sigterm_to_the_reader_and_end_with_it():
    """All of them get it from the start on. While one lives it holds the output's other end."""
    run = subprocess.run(
        [sys.executable, "-c", KILLED],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=120,
    )
    assert run.stdout == "50 True\n" and run.returncode == -signal.SIGKILL, run.stderr


@pytest.mark.full
def test_workers_go_away_when_the_reader_stops_early():
    batches = loader.batches(Numbers(400), 4, workers=1)
    next(batches)
    assert multiprocessing.active_children()
    batches.close()
    assert _all_gone()
