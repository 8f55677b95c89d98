"""Preemption: where long work can be gone on with, SIGTERM lets it save before it ends.

Elsewhere SIGTERM ends a process at once, as it always does. A shell, Slurm and Kubernetes read the
same status of both, which is why `EXIT_STATUS` is that one: 143 means, at whichever moment the
signal came, that the same command goes on where this one was stopped.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

EXIT_STATUS = 128 + signal.SIGTERM


class Preempted(Exception):
    """SIGTERM came, and what can be gone on with is saved."""


@contextlib.contextmanager
def listening() -> Iterator[Callable[[], bool]]:
    """Within it SIGTERM does no more than make true what the yielded function returns.

    The work looks there now and then, saves, and raises `Preempted`. Threads other than the main
    one hear nothing: Python has no signals there.

    Raises:
      Preempted: the work ended by itself, but it was to stop.
    """
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came.is_set
        return
    before = signal.signal(signal.SIGTERM, lambda *_: came.set())
    try:
        yield came.is_set
    finally:
        signal.signal(signal.SIGTERM, before)
    if came.is_set():
        raise Preempted
