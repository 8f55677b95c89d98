"""Scores of a folder of photos: the lines, bad files, interruptions, the command itself."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from data_pipelines.errors import InputError
from data_pipelines.sources import ImageFolder
from experiments import score_files, scoring
from mint_jax import aad, audited, auditors, parallel, preemption

MODEL = "iresnet18:random=0,width=0.125,embedding_size=16,input_size=32"


@pytest.fixture(scope="module")
def model():
    return audited.load(MODEL)


@pytest.fixture(scope="module")
def extractor(model):
    return aad.make_extractor(model, ("conv1",), "max", per_device_batch=4)


@pytest.fixture(scope="module")
def auditor(model, extractor):
    rng = np.random.default_rng(0)
    maxima = extractor(rng.integers(0, 256, (40, 112, 112, 3)).astype(np.uint8))["conv1"]
    held = (np.arange(40) % 5 == 0)[None]
    fitted = auditors.fit_population(
        auditors.Vanilla("conv1"),
        maxima,
        np.arange(40) % 2,
        ~held,
        held,
        [0],
        auditors.FitConfig(epochs=2),
    )
    return fitted.auditor(0, audited_sha256=model.sha256)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for i in range(11):
        image = rng.integers(0, 256, (112, 112, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{i:02d}.png"), image)
    (folder / "03.png").write_bytes(b"broken")
    return folder


@pytest.fixture
def score(extractor, auditor, photos, tmp_path):
    """Scores the photos into a file; returns what was counted and the file's lines."""
    output = tmp_path / "out" / "scores.jsonl"

    def run():
        tally = scoring.score_source(extractor, auditor, ImageFolder(photos), output)
        return tally, [json.loads(line) for line in output.read_text().splitlines()]

    run.output = output
    return run


def test_one_line_an_image(score, extractor, auditor, photos):
    tally, lines = score()
    assert (tally.scored, tally.bad, tally.kept) == (10, 1, 0)
    assert [line["image"] for line in lines] == [f"{i:02d}.png" for i in range(11)]
    for line in lines:
        assert sorted(line) == ["error", "image", "score", "sha256"]
        data = (photos / line["image"]).read_bytes()
        assert line["sha256"] == hashlib.sha256(data).hexdigest()
    bad = lines.pop(3)
    assert bad["score"] is None and "03.png: not an image" in bad["error"]
    images = [cv2.imread(str(photos / line["image"]))[..., ::-1] for line in lines]
    expected = auditor.score(extractor(np.stack(images)))
    assert [line["error"] for line in lines] == [None] * 10
    assert [line["score"] for line in lines] == expected.tolist()


def test_a_second_run_scores_only_what_is_new(score, photos):
    _, lines = score()
    before = score.output.read_text()
    assert score()[0].kept == 11 and score.output.read_text() == before
    (photos / "05b.png").write_bytes((photos / "05.png").read_bytes())
    (photos / "02.png").unlink()
    tally, after = score()
    assert (tally.scored, tally.kept) == (1, 10)
    added = lines[5] | {"image": "05b.png"}
    assert after == [*lines[:2], *lines[3:6], added, *lines[6:], lines[2]]


def test_an_interrupted_run_is_continued(score):
    _, lines = score()
    text = score.output.read_bytes()
    for kept, cut in ((6, 1), (6, 40), (0, 30), (10, 3)):
        whole = b"".join(text.splitlines(keepends=True)[:kept])
        score.output.write_bytes(whole + text[len(whole) :][:cut])
        tally, again = score()
        assert tally.kept == kept and again == lines


def test_another_file_is_not_overwritten(score):
    score.output.parent.mkdir()
    score.output.write_text('{"image": "a.png"}\nmy notes\n')
    with pytest.raises(InputError, match="scores.jsonl: line 2 is not the score of an image"):
        score()
    assert "my notes" in score.output.read_text()
    score.output.unlink()
    score.output.mkdir()
    with pytest.raises(InputError, match="scores.jsonl: Is a directory"):
        score()


class Placed:
    """An extractor whose values depend on an image's place in a device's batch."""

    chunk = 6

    def suited(self, count):
        return self

    def stream(self, chunks, queued):
        for batch, images in chunks:
            place = np.arange(len(images)) % (self.chunk // parallel.device_count())
            values = {"conv1": images.mean((1, 2, 3)) + place}
            queued(values)
            yield batch, images, values


class Summing:
    """An auditor whose scores do so of the place in what it is given at once."""

    def score(self, aad):
        return aad["conv1"] + np.arange(len(aad["conv1"])) / 8


class Processes:
    """Threads in the place of processes, for the functions of `parallel` that `scoring` calls."""

    def __init__(self, count, monkeypatch):
        self._count, self._own = count, threading.local()
        self._barrier, self._given = threading.Barrier(count), [None] * count
        for name in ("process_index", "process_count", "barrier", "gather"):
            monkeypatch.setattr(parallel, name, getattr(self, name))

    def process_index(self):
        return self._own.index

    def process_count(self):
        return self._count

    def barrier(self, name):
        self._barrier.wait()

    def gather(self, array):
        self._given[self._own.index] = array
        self._barrier.wait()
        found = np.stack(self._given)
        self._barrier.wait()
        return found

    def run(self, photos, output):
        """The tally of each process."""

        def one(index):
            self._own.index = index
            try:
                return scoring.score_source(Placed(), Summing(), ImageFolder(photos), output)
            except BaseException:
                self._barrier.abort()
                raise

        with ThreadPoolExecutor(self._count) as threads:
            return list(threads.map(one, range(self._count)))


@pytest.fixture
def devices(monkeypatch):
    """Sets how many devices a process has, of 2 images each in a batch."""

    def have(count):
        monkeypatch.setattr(parallel, "device_count", lambda: count)
        monkeypatch.setattr(Placed, "chunk", 2 * count)

    return have


@pytest.fixture
def undisturbed(photos, tmp_path, devices):
    """The lines of one process with one device."""
    devices(1)
    output = tmp_path / "undisturbed.jsonl"
    scoring.score_source(Placed(), Summing(), ImageFolder(photos), output)
    return output.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(("processes", "device_count"), [(1, 1), (1, 3), (2, 2), (3, 1), (8, 1)])
def test_whatever_was_left_the_end_is_the_same(
    undisturbed, photos, tmp_path, devices, monkeypatch, processes, device_count
):
    """Lines in any of the files of earlier runs, or in two of them, and cut ones at their ends."""
    devices(device_count)
    machine = Processes(processes, monkeypatch)
    rng = np.random.default_rng(processes)
    for turn in range(3):
        output = tmp_path / f"{turn}" / "[1]*.jsonl"
        output.parent.mkdir()
        files = [output, *(output.with_name(f"{output.name}.of-process-{i}") for i in (0, 1, 11))]
        there = rng.random((len(files), len(undisturbed))) < 0.3
        for path, own in zip(files, there):
            lines = [line for line, kept in zip(undisturbed, own) if kept]
            path.write_bytes(b"".join(lines) + undisturbed[0][: rng.integers(0, 60)])
        output.with_name(f"{output.name}.partly").write_bytes(undisturbed[5])
        kept = there.any(axis=0)
        for tally in machine.run(photos, output):
            assert (tally.kept, tally.scored, tally.bad) == (
                kept.sum(),
                10 - np.delete(kept, 3).sum(),
                1 - kept[3],
            )
        assert output.read_bytes() == b"".join(undisturbed)
        assert list(output.parent.iterdir()) == [output]
        assert machine.run(photos, output)[0].kept == 11


def test_lines_in_another_order_are_put_in_the_source_s(undisturbed, photos, tmp_path):
    output = tmp_path / "shuffled.jsonl"
    gone = undisturbed[0].replace(b"00.png", b"a.png")
    shuffled = [*undisturbed[8:], gone, *undisturbed[:6], undisturbed[2]]
    output.write_bytes(b"".join(shuffled))
    scoring.score_source(Placed(), Summing(), ImageFolder(photos), output)
    assert output.read_bytes() == b"".join([*undisturbed, gone])


def test_a_process_whose_lines_are_not_seen_is_no_success(photos, tmp_path, devices, monkeypatch):
    devices(1)
    appending = score_files.appending

    def elsewhere(output, process, processes):
        return appending(tmp_path / f"disk-of-{process}.jsonl", process, processes)

    monkeypatch.setattr(score_files, "appending", elsewhere)
    with pytest.raises(InputError, match="scores.jsonl: 11 images have no line, though all"):
        Processes(2, monkeypatch).run(photos, tmp_path / "scores.jsonl")


def test_sigterm_waits_for_the_batch(undisturbed, photos, tmp_path, monkeypatch):
    output, score = tmp_path / "stopped.jsonl", Summing.score

    def stop(self, aad):
        if output.read_bytes():
            os.kill(os.getpid(), signal.SIGTERM)
        return score(self, aad)

    with monkeypatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setattr(Summing, "score", stop)
        stack.enter_context(pytest.raises(preemption.Preempted))
        scoring.score_source(Placed(), Summing(), ImageFolder(photos), output)
    assert output.read_bytes() == b"".join(undisturbed[:4])
    assert scoring.score_source(Placed(), Summing(), ImageFolder(photos), output).kept == 4
    assert output.read_bytes() == b"".join(undisturbed)


def _command(**flags):
    words = [f"--{name}={value}" for name, value in flags.items()]
    return subprocess.run(
        [sys.executable, "-m", "experiments.score", *words], capture_output=True, text=True
    )


def test_the_command(photos, auditor, tmp_path):
    auditors.save(auditor, tmp_path / "auditor")
    output = tmp_path / "scores.jsonl"
    flags = {"auditor": tmp_path / "auditor", "images": photos, "output": output}
    done = _command(audited=MODEL, **flags)
    assert done.returncode == 0, done.stderr
    said = "10 images scored, 1 bad ones skipped; the devices waited for images "
    assert said in done.stderr.splitlines()[-1]
    assert len(output.read_text().splitlines()) == 11

    refused = _command(audited=MODEL.replace("=0,", "=1,"), **flags)
    assert refused.returncode == 1
    assert "trained on the audited model" in refused.stderr.splitlines()[-1]
    absent = _command(audited=MODEL, **flags | {"images": tmp_path / "absent"})
    assert absent.returncode == 1
    assert "absent: not a source of images" in absent.stderr.splitlines()[-1]
    for failed in (refused, absent):
        assert "Traceback" not in failed.stderr
