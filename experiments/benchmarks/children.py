"""Python in a process of its own, which starts from nothing: its seconds and its peak memory."""

import os
import subprocess
import sys
import time
from typing import NamedTuple

_FIRST = "import atexit; atexit.register(lambda: print(open('/proc/self/status').read()));"
_MODULE = """
import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


class Ran(NamedTuple):
    """What a process took: seconds from its start to its end, MB (2**20) at most, its stdout."""

    seconds: float
    peak_mb: float
    printed: str


def run(script: str, *arguments: str, **environment: str) -> Ran:
    """Runs a script with `sys.argv[1:] = arguments`; its failure ends this process likewise.

    Peak memory is VmHWM: `ru_maxrss` is inherited from the process that starts another.
    """
    begin = time.perf_counter()
    command = [sys.executable, "-c", f"{_FIRST}\n{script}", *arguments]
    inherited = {**os.environ, **environment}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=inherited)
    seconds = time.perf_counter() - begin
    if done.returncode:
        sys.exit(done.returncode)
    peak = int(done.stdout.split("VmHWM:")[1].split()[0]) / 1024
    return Ran(seconds, round(peak, 1), done.stdout)


def run_module(module: str, *arguments: str, **environment: str) -> Ran:
    """Runs `python -m module arguments`."""
    return run(_MODULE, module, *arguments, **environment)
