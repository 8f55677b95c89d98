"""Several processes of one command: the same bytes, one summary, deaths, SIGTERM and going on."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from miniatures.photos import jpeg, photo

from data_pipelines.databases.image_folder import ImageFolder
from mint_jax import aad, audited

ROOT = Path(__file__).resolve().parents[2]
SPEC = "iresnet18:random=0,width=0.0625,embedding_size=16,input_size=28"
COUNT, SHARD = 45, 4
MAIN = """
import runpy
runpy.run_module("experiments.extract", run_name="__main__", alter_sys=True)
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
    folder = tmp_path_factory.mktemp("photos")
    for i in range(COUNT):
        (folder / f"{i:02d}.jpg").write_bytes(jpeg(photo(i, 112, 112)))
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """XLA has as many threads in every process, and on any number of devices."""
    home = tmp_path_factory.mktemp("home")
    return {**os.environ, "NPROC": "4", "HOME": str(home), "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def extract(photos, environment):
    """Starts the command in a store of small shards; a number of processes, or their flags."""

    def start(workdir, processes, script=MAIN, devices=1):
        model = audited.load(SPEC)
        aad.create_or_open_store(
            workdir / "aad",
            model_sha256=model.sha256,
            model_name=model.name,
            source_fingerprint=ImageFolder(photos).fingerprint(),
            rows=COUNT,
            layers={"conv4": (32,), "outcome": (16,)},
            reduce="max",
            per_device_batch=SHARD,
            shard_bytes=0,
        )
        command = [
            *(sys.executable, "-c", script, f"--workdir={workdir}"),
            f"--config=experiments/configs/extract.py:images={photos},layers=conv4;outcome,views=",
            *(f"--config.audited={SPEC}", f"--config.per_device_batch={SHARD}"),
        ]
        if isinstance(processes, int):
            launcher = ["-m", "launch.local", f"--processes={processes}"]
            command = [
                sys.executable,
                *launcher,
                f"--devices_per_process={devices}",
                "--",
                *command,
            ]
        else:
            command += processes
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
        )

    return start


@pytest.fixture(scope="module")
def one(extract, tmp_path_factory):
    """What one process leaves."""
    workdir = tmp_path_factory.mktemp("one")
    check_done(extract(workdir, []), workdir)
    return files(workdir)


def files(folder):
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


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
    assert files(tmp_path) == one


def test_sigterm_saves_and_another_number_of_processes_goes_on(extract, one, tmp_path):
    run = extract(tmp_path, 2, SLOW)
    wait_for(tmp_path / "aad" / "done" / "00000001.json", run)
    run.send_signal(signal.SIGTERM)
    _, errors = run.communicate()
    assert run.returncode == 143, errors
    assert "stopped by SIGTERM: the same command goes on from here" in errors
    kept = SHARD * len(list((tmp_path / "aad" / "done").iterdir()))
    assert 0 < kept < COUNT
    check_done(extract(tmp_path, []), tmp_path, kept=kept)
    assert files(tmp_path) == one


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


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
