"""Several processes of one command: the same bytes, one summary, deaths, SIGTERM and going on."""

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from chaos import run_to_the_end
from miniatures.extraction import COUNT, SHARD, SPEC, arguments, create_store, files, write_photos

from mint_jax import audited, auditors

ROOT = Path(__file__).resolve().parents[2]
KILLS = {False: 1, True: 20}  # by MINT_TEST_FULL
MAIN = """
import runpy, sys
runpy.run_module(f"experiments.{sys.argv.pop(1)}", run_name="__main__", alter_sys=True)
"""
SLOW = f"""
import threading, time
from data_pipelines.databases.image_folder import ImageFolder
encoded, one_at_a_time = ImageFolder.encoded, threading.Lock()

def slow(self, row):
    with one_at_a_time:
        time.sleep(0.1)
    return encoded(self, row)

ImageFolder.encoded = slow
{MAIN}
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """XLA has as many threads in every process, and on any number of devices."""
    home = tmp_path_factory.mktemp("home")
    return {**os.environ, "NPROC": "4", "HOME": str(home), "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def start(environment):
    """Starts a command of `experiments`; a number of processes, or their flags."""

    def start(name, given, processes, script=MAIN, devices=1):
        command = [sys.executable, "-c", script, name, *given]
        if isinstance(processes, int):
            launcher = [f"--processes={processes}", f"--devices_per_process={devices}"]
            command = [sys.executable, "-m", "launch.local", *launcher, "--", *command]
        else:
            command += processes
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
        )

    return start


@pytest.fixture(scope="module")
def extract(start, photos):
    """Starts the extraction into a store of small shards."""

    def extract(workdir, *how, **options):
        create_store(workdir, photos)
        return start("extract", arguments(workdir, photos), *how, **options)

    return extract


@pytest.fixture(scope="module")
def score(start, photos, tmp_path_factory):
    """Starts the scoring by an auditor that learnt nothing."""
    auditor = auditors.TrainedAuditor(
        model=auditors.Vanilla("outcome"),
        variables=auditors.Vanilla("outcome").init(jax.random.key(0), np.zeros((1, 16))),
        input_shape=(16,),
        audited_sha256=audited.load(SPEC).sha256,
    )
    folder = tmp_path_factory.mktemp("auditor") / "auditor"
    auditors.save(auditor, folder)
    given = [f"--audited={SPEC}", f"--auditor={folder}", f"--images={photos}", f"--batch={SHARD}"]

    def score(folder, *how, **options):
        return start("score", [*given, f"--output={folder}/scores.jsonl"], *how, **options)

    return score


@pytest.fixture(scope="module")
def one(extract, tmp_path_factory):
    """What one process leaves."""
    workdir = tmp_path_factory.mktemp("one")
    check_done(extract(workdir, []), workdir)
    return files(workdir / "aad")


@pytest.fixture(scope="module")
def lines(score, tmp_path_factory):
    """The bytes of the scores that one process leaves."""
    folder = tmp_path_factory.mktemp("one")
    run = score(folder, [])
    _, errors = run.communicate()
    assert run.returncode == 0, errors
    scores = (folder / "scores.jsonl").read_bytes()
    assert scores.count(b'"error": null') == COUNT
    return scores


def check_done(run, workdir, rank="", kept=0):
    """One process says how much it was, when all of it is there."""
    _, errors = run.communicate()
    assert run.returncode == 0, errors
    earlier = f", {kept:,} were there already" if kept else ""
    said = [line for line in errors.splitlines() if " bad ones; " in line]
    begin = f"{rank}{workdir / 'aad'}: {COUNT - kept} images{earlier}, 0 bad ones; "
    assert len(said) == 1 and said[0].startswith(begin), errors


def wait_for(path, run):
    """Until there is a file, or the run that was to write it ends."""
    while not path.exists():
        assert run.poll() is None, run.communicate()[1]
        time.sleep(0.02)


@pytest.mark.parametrize(("processes", "devices"), [(2, 2), (4, 1)])
def test_processes_leave_the_bytes_of_one(extract, one, tmp_path, processes, devices):
    check_done(extract(tmp_path, processes, devices=devices), tmp_path, "[0] ")
    assert files(tmp_path / "aad") == one
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["processes"] == processes and f"--workdir={tmp_path}" in run["command"]
    assert json.loads((tmp_path / "config.json").read_text())["per_device_batch"] == SHARD
    lines = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    own = range(0, COUNT, SHARD)[::processes]  # rows where the shards of process 0 begin
    assert [line["step"] for line in lines] == np.cumsum(
        [min(SHARD, COUNT - i) for i in own]
    ).tolist()


def test_sigterm_saves_and_another_number_of_processes_goes_on(extract, one, tmp_path):
    run = extract(tmp_path, 2, SLOW)
    wait_for(tmp_path / "aad" / "done", run)
    run.send_signal(signal.SIGTERM)
    _, errors = run.communicate()
    assert run.returncode == 143, errors
    assert "stopped by SIGTERM: the same command goes on from here" in errors
    kept = SHARD * len(list((tmp_path / "aad" / "done").iterdir()))
    assert 0 < kept < COUNT
    check_done(extract(tmp_path, []), tmp_path, kept=kept)
    assert files(tmp_path / "aad") == one


def test_processes_leave_the_lines_of_one(score, lines, tmp_path):
    run = score(tmp_path, 2, devices=2)
    _, errors = run.communicate()
    assert run.returncode == 0, errors
    said = [line for line in errors.splitlines() if "images scored" in line]
    begin = f"[0] {tmp_path / 'scores.jsonl'}: {COUNT} images scored, 0 bad ones skipped; "
    assert len(said) == 1 and said[0].startswith(begin), errors
    assert files(tmp_path) == {"scores.jsonl": lines}


def test_an_extraction_survives_chaos(extract, one, tmp_path, full):
    def done(folder):
        return len(list((folder / "aad" / "done").glob("*.json")))

    survive(extract, done, -(-COUNT // SHARD), tmp_path, KILLS[full], one, "aad")


def test_a_scoring_survives_chaos(score, lines, tmp_path, full):
    def done(folder):
        files = (path.read_bytes() for path in folder.glob("*.jsonl*"))
        return len({line for file in files for line in file.splitlines()} & whole)

    whole = set(lines.splitlines())
    survive(score, done, COUNT, tmp_path, KILLS[full], {"scores.jsonl": lines})


def survive(start, done, total, tmp_path, kills, expected, below=""):
    """On 1 to 3 processes, from the beginning as often as so many kills need."""
    for seed in range(kills):
        folder = tmp_path / f"{seed}"
        folder.mkdir()
        begin = functools.partial(start_any, start, folder, seed)
        progress = functools.partial(done, folder)
        kills -= run_to_the_end(begin, progress, total, min(kills, 3), seed)
        assert files(folder / below) == expected
        if not kills:
            return
    pytest.fail("the runs ended before they were killed")


def start_any(start, folder, seed, run):
    return start(folder, (2, 1, 3)[(seed + run) % 3], SLOW, devices=1 + run % 2)


def test_a_dead_process_ends_the_others_with_the_reason(extract, tmp_path):
    """Without a launcher that would end them."""
    script = f"from mint_jax import parallel\nparallel.HEARTBEAT_SECONDS = 2\n{SLOW}"
    where = [f"--coordinator=127.0.0.1:{free_port()}", "--processes=2"]
    first, second = (extract(tmp_path, [*where, f"--process={i}"], script) for i in range(2))
    wait_for(tmp_path / "aad" / "done" / "00000001.json", second)
    second.kill()
    second.communicate()
    _, errors = first.communicate(timeout=30)
    assert first.returncode != 0
    assert "heartbeat" in errors


def test_a_process_that_nobody_joins_ends_in_one_line(extract, tmp_path):
    script = f"from mint_jax import parallel\nparallel.JOIN_SECONDS = 1\n{MAIN}"
    where = f"--coordinator=127.0.0.1:{free_port()}"
    run = extract(tmp_path, [where, "--processes=2", "--process=0"], script)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 1
    assert errors == "error: not all processes came within 1 seconds; those that failed say why\n"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
