"""Scalars of long work, read back as JSON and as TensorBoard reads them."""

import contextlib
import json

import numpy as np
from grain.experimental import TFRecordIterDataset
from tensorboardX.proto.event_pb2 import Event, SessionLog

from experiments.metrics import Metrics


def write(workdir, steps, group="", value=float):
    with contextlib.closing(Metrics(workdir, group)) as metrics:
        for step in steps:
            metrics.write(step, {"loss": value(step), "rate": np.float32(0.5)})


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def board(folder):
    """{tag: [(step, value)]} of all files, those of a run's start purging what was before."""
    found = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in map(Event.FromString, TFRecordIterDataset(str(path))):
            if event.session_log.status == SessionLog.START:
                found = {k: [x for x in own if x[0] < event.step] for k, own in found.items()}
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_scalars_come_back(tmp_path):
    write(tmp_path / "work", range(1, 4))
    found = lines(tmp_path / "work")
    assert [(x["step"], x["loss"], x["rate"]) for x in found] == [(i, i, 0.5) for i in (1, 2, 3)]
    assert [set(x) for x in found] == 3 * [{"step", "time", "loss", "rate"}]
    assert found[0]["time"] <= found[2]["time"]
    assert board(tmp_path / "work" / "tensorboard") == {
        "loss": [(1, 1.0), (2, 2.0), (3, 3.0)],
        "rate": [(1, 0.5), (2, 0.5), (3, 0.5)],
    }


def test_a_run_that_goes_on_doubles_no_step(tmp_path):
    """The first one was killed while it wrote a line."""
    write(tmp_path, range(1, 6))
    write(tmp_path, range(1, 3), "other")
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')
    write(tmp_path, range(4, 7), value=lambda step: 10.0 * step)
    expected = [(1, 1.0), (2, 2.0), (3, 3.0), (4, 40.0), (5, 50.0), (6, 60.0)]
    own = [x for x in lines(tmp_path) if "group" not in x]
    assert [(x["step"], x["loss"]) for x in own] == expected
    assert board(tmp_path / "tensorboard")["loss"] == expected
    others = [x for x in lines(tmp_path) if x.get("group") == "other"]
    assert [x["step"] for x in others] == [1, 2]
    assert board(tmp_path / "tensorboard" / "other")["loss"] == [(1, 1.0), (2, 2.0)]


def test_a_number_that_is_none_is_null(tmp_path):
    write(tmp_path, [1], value=lambda step: np.nan)
    assert lines(tmp_path)[0]["loss"] is None


def test_process_0_alone_writes(tmp_path, monkeypatch):
    monkeypatch.setattr("mint_jax.parallel.process_index", lambda: 1)
    write(tmp_path, range(3))
    assert list(tmp_path.iterdir()) == []
