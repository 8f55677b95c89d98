"""Kills a command at random moments of its work, with all of its processes, until it is done."""

import contextlib
import subprocess
import time
from collections.abc import Callable

import numpy as np
import psutil


def run_to_the_end(
    start: Callable[[int], subprocess.Popen],
    progress: Callable[[], int],
    total: int,
    kills: int,
    seed: int,
) -> int:
    """Starts a command again and again until a run ends by itself, which must be with status 0.

    A run is killed at once, or soon, after it got to a random part of its share of what is left.

    Args:
      start: starts the command for the i-th time, from 0, with pipes and as text.
      progress: how much of the work is there now.
      total: all of the work, which should not be quicker than processes are killed.
      kills: how many at most.
      seed: of the moments.

    Returns:
      how many runs were killed.
    """
    rng = np.random.default_rng(seed)
    for killed in range(kills):
        done = progress()
        share = max(1, (total - done) // (kills - killed + 1))
        target, pause = done + rng.integers(1, share, endpoint=True), rng.choice([0, 0.1, 0.2])
        run = start(killed)
        while run.poll() is None and progress() < target:
            time.sleep(0.02)
        time.sleep(pause)
        if run.poll() is not None:
            break
        kill(run)
    else:
        killed, run = kills, start(kills)
    _, errors = run.communicate()
    assert run.returncode == 0, errors
    return killed


def kill(run: subprocess.Popen) -> None:
    """SIGKILL to a command and to all below it; returns when none of them lives.

    A process group is not enough: `launch.local` starts its processes in sessions of their own.
    """
    launcher = psutil.Process(run.pid)
    family = [launcher, *launcher.children(recursive=True)]
    for process in family:  # the launcher first, which would end the others in its own way
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    run.communicate()
    while any(_lives(process) for process in family):
        time.sleep(0.01)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
