"""Rendered scripts on a real Slurm: several tasks, stops and restarts, arrays, failures."""

import json
import re
import sys

import jax
import numpy as np
import pytest
from miniatures.extraction import MAIN, arguments, create_store, files, slow, write_photos
from miniatures.labs import write_lab
from miniatures.photos import photo

from mint_jax import aad, audited, auditors

TWO = "--tasks_per_node=2"
SECOND_SHARD = "00000001.json"
UNTIL_STOPPED = "0 if 'SLURM_RESTART_COUNT' in os.environ else {}"
FAILING = f"""
import os, time
from data_pipelines.databases.image_folder import ImageFolder
from mint_jax import parallel
parallel.HEARTBEAT_SECONDS = 10

def fail(self, row):
    if os.environ["SLURM_PROCID"] == "1":
        raise ValueError("no such photo")
    time.sleep(3600)

ImageFolder.encoded = fail
{MAIN}
"""
STOPPABLE = "trap 'exit 143' TERM; echo ready; while :; do sleep 0.1; done"
AUDIT = """
from experiments.configs import embedded


def get_config():
    config = embedded.get_config("sizes=80")
    config.update(test_images=40, bank_images=100, validation_images=20, threshold_images=20)
    config.update(calibration_images=20, calibration_members=20, workers=0)
    config.update(auditor="vanilla", layer="conv1", seeds=1)
    config.vanilla.fit = {"epochs": 5}
    return config
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"))


def extract(workdir, photos, script=MAIN):
    """The command, with an empty store of small shards."""
    create_store(workdir, photos)
    return [sys.executable, "-c", script, *arguments(workdir, photos)]


@pytest.fixture(scope="module")
def one(slurm, photos, tmp_path_factory):
    """What one process leaves without Slurm."""
    workdir = tmp_path_factory.mktemp("one")
    slurm.run(*extract(workdir, photos))
    return files(workdir / "aad")


def test_an_extraction_leaves_the_bytes_of_one_process(slurm, photos, one, tmp_path):
    job = slurm.submit(extract(tmp_path, photos), TWO)
    slurm.done(job)
    assert files(tmp_path / "aad") == one
    assert slurm.output(job).count(" bad ones; ") == 1


def shorten(slurm, job):
    """Leaves a job less time than that of its warning, which then comes within half a minute."""
    hours, minutes, _ = map(int, slurm.job(job)["RunTime"].split(":"))
    slurm.run("scontrol", "update", f"JobId={job}", f"TimeLimit={60 * hours + minutes + 5}")


def warn(slurm, job):
    slurm.run("scancel", "--batch", "--signal=USR1", job)


def make_room(slurm, job):
    slurm.run("srun", "--partition=urgent", "--ntasks=2", "true")


@pytest.mark.parametrize(
    ("stop", "partition"),
    [(warn, "all"), (shorten, "all"), (make_room, "all"), (make_room, "hasty")],
)
def test_a_stopped_job_queues_again_and_goes_on(slurm, photos, one, tmp_path, stop, partition):
    """To save takes longer than Slurm waits for a job that it ends without notice."""
    command = extract(tmp_path, photos, slow(UNTIL_STOPPED.format(15)))
    options = [TWO, f"--partition={partition}", "--time=02:00:00", "--warning=600"]
    job = slurm.submit(command, *options)
    slurm.until(job, lambda _: (tmp_path / "aad" / "done" / SECOND_SHARD).exists())
    stop(slurm, job)
    slurm.done_again(job)
    assert files(tmp_path / "aad") == one
    (kept,) = re.findall(r" images, (\d+) were there already", slurm.output(job))
    assert int(kept) > 0


def test_of_an_array_only_the_stopped_job_queues_again(slurm, photos, one, tmp_path):
    """It is the last one, whose SLURM_JOB_ID is that of the array."""
    folders = [tmp_path / f"verbosity={value}" for value in (-1, 0)]
    for folder in folders:
        command = extract(folder, photos, slow(UNTIL_STOPPED.format(5)))
    command[3] = f"--workdir={tmp_path}"
    array = slurm.submit(command, "--grid=verbosity=-1,0")
    jobs = [f"{array}_{index}" for index in range(2)]
    for job, folder in zip(jobs, folders):
        done = folder / "aad" / "done" / SECOND_SHARD
        slurm.until(job, lambda _: done.exists())  # noqa: B023
    warn(slurm, jobs[1])
    slurm.done_again(jobs[1])
    assert slurm.done(jobs[0])["Restarts"] == "0"
    assert [files(folder / "aad") for folder in folders] == [one] * 2


def test_a_failed_task_ends_the_job_with_its_reason(slurm, photos, tmp_path):
    job = slurm.submit(extract(tmp_path, photos, FAILING), TWO)
    found = slurm.until(job, lambda found: found["JobState"] == "FAILED")
    assert (found["Restarts"], found["ExitCode"]) == ("0", "134:0")
    assert "ValueError: no such photo" in slurm.output(job)


def test_a_cancelled_job_does_not_queue_again(slurm):
    job = slurm.submit(["bash", "-c", STOPPABLE])
    slurm.until(job, lambda _: "ready" in slurm.output(job))
    slurm.run("scancel", job)
    found = slurm.until(job, lambda found: found["JobState"] == "CANCELLED")
    assert found["Restarts"] == "0"


def both(slurm, folder, *command):
    """The folders of a command by one process without Slurm, and by a job of two."""
    folders = [folder / "one", folder / "two"]
    command, (first, second) = [sys.executable, "-m", *command], folders
    slurm.run(*command, f"--workdir={first}")
    slurm.done(slurm.submit([*command, f"--workdir={second}"], TWO))
    return folders


def test_a_lab_model_is_that_of_one_process(slurm, tmp_path):
    """Its steps make float errors grow: the first losses agree best."""
    config = write_lab(tmp_path)
    folders = both(slurm, tmp_path, "experiments.train_audited", f"--config={config}")
    found = [json.loads((folder / "model" / "manifest.json").read_text()) for folder in folders]
    first, second = (manifest["losses"] for manifest in found)
    np.testing.assert_allclose(first["first_epoch"], second["first_epoch"], rtol=1e-5)
    np.testing.assert_allclose(first["epochs"], second["epochs"], rtol=1e-3)
    models = [audited.load(str(folder / "model")).variables for folder in folders]
    for a, b in zip(*map(jax.tree.leaves, models), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 + 0.01 * np.abs(a).max())


def test_an_auditor_is_that_of_one_process(slurm, tmp_path):
    config = tmp_path / "config.py"
    config.write_text(AUDIT)
    folders = both(slurm, tmp_path, "experiments.train_auditor", f"--config={config}")
    model = audited.load("embedded")
    read = aad.make_extractor(model, ("conv1",), "max", per_device_batch=16)
    maxima = read(np.stack([photo(i, 112, 112) for i in range(64)]))
    scores = [auditors.load(folder / "auditor", model).score(maxima) for folder in folders]
    assert np.std(scores[0]) > 0.01
    np.testing.assert_allclose(*scores, rtol=0, atol=1e-3)
