"""Starts a command as several processes on this machine, each with devices on its processors.

    python -m launch.local --processes=2 --devices_per_process=2 -- \
python -m experiments.extract --config=FILE --workdir=DIR

Flags at the command's end tell the processes how to find each other. Their lines come out with
the rank in front, a progress bar as it was last. When one fails, the others get SIGTERM, and after
`--grace` seconds SIGKILL; the exit status and the reason are those of the first that failed.
SIGTERM and SIGINT are passed on to all. When this program is killed, they end in the same way.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO

from absl import app, flags

_PROCESSES = flags.DEFINE_integer("processes", 2, "how many", lower_bound=1)
_DEVICES = flags.DEFINE_integer("devices_per_process", 1, "of the processor", lower_bound=1)
_GRACE = flags.DEFINE_float("grace", 60, "seconds to save in before SIGKILL", lower_bound=0)
# Reads a process group a line until its input ends, as it does when the launcher is killed.
_GUARD = """
groups=
while read -r group; do groups="$groups -$group"; done
[ -n "$groups" ] || exit
kill -TERM $groups
sleep "$1"
kill -KILL $groups
"""


def main(argv: Sequence[str]) -> None:
    """Runs the command behind `--` to its end."""
    if len(argv) < 2:
        sys.exit("error: no command: python -m launch.local [flags] -- COMMAND")
    group = Group(_GRACE.value)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: group.end(number))
    try:
        group.start(argv[1:], _PROCESSES.value, _DEVICES.value)
    except OSError as error:
        sys.exit(f"error: {argv[1]}: {error.strerror}")
    sys.exit(group.wait())


class Group:
    """Processes that run one command, end together, and are read line by line."""

    def __init__(self, grace: float):
        self._grace, self._deadline = grace, float("inf")
        self._processes: list[subprocess.Popen] = []
        self._readers: list[threading.Thread] = []
        self._last: dict[int, str] = {}
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD, "guard", str(grace)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def start(self, command: Sequence[str], processes: int, devices: int) -> None:
        """Starts them.

        Raises:
          OSError: there is no such command.
        """
        address = f"127.0.0.1:{_free_port()}"
        environment = {
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "JAX_NUM_CPU_DEVICES": str(devices),
            "JAX_COORDINATOR_BIND_ADDRESS": address,
            "PYTHONUNBUFFERED": "1",
        }
        others = [f"--coordinator={address}", f"--processes={processes}"]
        for rank in range(processes):
            process = _start([*command, *others, f"--process={rank}"], environment)
            self._processes.append(process)
            self._guard.stdin.write(b"%d\n" % process.pid)
            self._guard.stdin.flush()
            for lines, out in ((process.stdout, sys.stdout), (process.stderr, sys.stderr)):
                reader = threading.Thread(target=self._relay, args=(rank, lines, out), daemon=True)
                reader.start()
                self._readers.append(reader)

    def end(self, number: int) -> None:
        """Sends a signal to those that still run; they have the grace period from the first on."""
        self._deadline = min(self._deadline, time.monotonic() + self._grace)
        for process in self._processes:
            process.send_signal(number)  # nothing to one that is reaped

    def _stop(self) -> None:
        """SIGTERM to all, unless they got a signal: while they save, a second one may be deadly."""
        if self._deadline == float("inf"):
            self.end(signal.SIGTERM)

    def wait(self) -> int:
        """The exit status: 0, or that of the first that failed, whose reason is printed."""
        failed = None
        while any([process.poll() is None for process in self._processes]):
            failed = self._failed() if failed is None else failed
            if failed is not None:
                self._stop()
            if time.monotonic() > self._deadline:
                self.end(signal.SIGKILL)
            time.sleep(0.02)
        self._guard.kill()
        failed = self._failed() if failed is None else failed
        for reader in self._readers:
            reader.join(timeout=1)  # a process that one of them left behind may hold the other end
        if failed is None:
            return 0
        status, reason = self._processes[failed].returncode, self._last.get(failed, "")
        if status < 0:
            status, reason = 128 - status, signal.Signals(-status).name
        first = f"process {failed} was the first to fail, with status {status}"
        print(f"launch.local: {first}: {reason}", file=sys.stderr)
        return status

    def _failed(self) -> int | None:
        return next((rank for rank, p in enumerate(self._processes) if p.returncode), None)

    def _relay(self, rank: int, lines: IO[bytes], out: IO[str]) -> None:
        """Copies lines; of what a progress bar wrote over, only the last state is left."""
        for line in lines:
            text = line.decode(errors="replace").rstrip("\r\n").rpartition("\r")[2]
            try:
                out.write(f"[{rank}] {text}\n")
                out.flush()
            except BrokenPipeError:  # nobody listens any more
                self._stop()
            if out is sys.stderr and text.strip():
                self._last[rank] = text


def _start(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen:
    """In a session of its own, so that the terminal's Ctrl-C comes once, through us."""
    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


if __name__ == "__main__":
    app.run(main)
