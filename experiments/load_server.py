"""The process of a server under load: started, weighed, and gone at the end."""

import contextlib
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from mint_jax.errors import InputError


@contextlib.contextmanager
def started(command: Sequence[str], log: Path) -> Iterator[tuple[subprocess.Popen, str]]:
    """Starts a server that prints where it listens, as `experiments.serve` does.

    Args:
      command: of the process.
      log: file for all that it prints; a pipe that nobody reads would stop it.

    Yields:
      The process and its address.

    Raises:
      InputError: it ended before it listened; the message has its last line.
    """
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield process, _address(process, log)
    finally:
        process.kill()
        process.wait()


def resident(pid: int) -> float | None:
    """Megabytes (2**20) of a process that are in memory; None where that cannot be known."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else None  # a process that has just ended has none


def _address(process: subprocess.Popen, log: Path) -> str:
    while process.poll() is None:
        if found := re.search(r"^(http://\S+) ", log.read_text(), re.MULTILINE):
            return found[1]
        time.sleep(0.1)
    lines = log.read_text().split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "it printed nothing")
    raise InputError(f"the server ended with {process.returncode}: {last}")
