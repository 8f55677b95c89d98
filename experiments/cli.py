"""How every entry point starts, and how it fails: one clear line for bad input, no traceback.

Those with --workdir leave there how they were started, see `experiments.records`. Exit statuses:
0 done, 1 bad input or a bug, 143 stopped by SIGTERM and ready to go on.
"""

import contextlib
import os
import shlex
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
from absl import app, flags, logging
from ml_collections import config_flags
from threadpoolctl import threadpool_limits

from data_pipelines import errors as data_errors
from experiments import records, versions
from mint_jax import errors, parallel, preemption

_MULTIHOST = flags.DEFINE_bool(
    "multihost", False, "one of several processes, which Slurm, Open MPI, a TPU VM or GKE started"
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "host:port of process 0, where none of these says it"
)
_PROCESSES = flags.DEFINE_integer("processes", None, "how many there are", lower_bound=1)
_PROCESS = flags.DEFINE_integer("process", None, "which one this is, from 0", lower_bound=0)


def run(
    main: Callable[[Sequence[str]], None],
    *,
    multihost: bool = False,
    devices: bool = True,
    cores: bool = False,
) -> None:
    """Runs `main` under absl; an `InputError` becomes one line on stderr and exit status 1.

    Args:
      main: takes what absl leaves of the arguments.
      multihost: whether several processes can share its work.
      devices: whether it uses any itself; one that only starts others leaves them theirs.
      cores: whether each core of a CPU is one, see `parallel.divide_cores`.
    """

    def guarded(argv: Sequence[str]) -> None:
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.WARNING)  # Orbax reports every file it writes
        if len(argv) > 1:
            _fail(f"unexpected argument {argv[1]!r}: everything is a flag, see --help")
        _check_config()
        if cores:
            parallel.divide_cores()
        with _one_of_several(multihost), _clear_endings():
            if "workdir" in flags.FLAGS and not (multihost and parallel.process_index()):
                _record(parallel.process_count() if multihost else 1, devices)
            main(argv)

    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    _share_compiled_programs()
    # On problems as small as ours threads of BLAS wait for each other, and XLA has its own.
    threadpool_limits(1, user_api="blas")
    app.run(guarded, flags_parser=_parse)


@contextlib.contextmanager
def _clear_endings() -> Iterator[None]:
    """Says in one line why a program ends before it is done."""
    try:
        yield
    except (errors.InputError, data_errors.InputError) as error:
        _fail(str(error))
    except preemption.Preempted:
        print("stopped by SIGTERM: the same command goes on from here", file=sys.stderr)
        sys.exit(preemption.EXIT_STATUS)


@contextlib.contextmanager
def _one_of_several(possible: bool) -> Iterator[None]:
    """Joins the other processes where the flags say so; all end together, or in bounded time."""
    if not _MULTIHOST.value and _COORDINATOR.value is None:
        yield
        return
    if not possible:
        _fail("one process does this: take --multihost and --coordinator away")
    with _clear_endings(), _in_time():
        parallel.join(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value)
    try:
        with open(os.devnull, "w") as nowhere, contextlib.ExitStack() as stack:
            if parallel.process_index():
                stack.enter_context(contextlib.redirect_stdout(nowhere))
            yield
        parallel.barrier("end")
    except BaseException as error:
        _leave(error)


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    """Ends this process, in one line, before JAX would do it with a trace of its stack."""

    def end() -> None:
        message = f"not all processes came within {parallel.JOIN_SECONDS} seconds"
        print(f"error: {message}; those that failed say why", file=sys.stderr, flush=True)
        os._exit(1)

    timer = threading.Timer(parallel.JOIN_SECONDS, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _leave(error: BaseException) -> None:
    """Ends this process at once: an orderly end would wait for the others, who are not coming."""
    if not isinstance(error, SystemExit):
        traceback.print_exception(error)
    elif error.code == preemption.EXIT_STATUS:
        parallel.await_stopping()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(error.code if isinstance(error, SystemExit) else 1)


def _parse(argv: list[str]) -> list[str]:
    """Parses flags; of an error within a configuration only the message of the error is left."""
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        ours = [line.partition("InputError: ")[2] for line in lines if "InputError: " in line]
        _fail((ours or [" ".join(lines)])[-1] + " (--help lists the flags)")


def _check_config() -> None:
    """ml_collections reports a missing file late, and without its name."""
    if "config" in flags.FLAGS:
        path = config_flags.get_config_filename(flags.FLAGS["config"]).partition(":")[0]
        if not os.path.isfile(path):
            _fail(f"--config: {path}: no such file")


def _record(processes: int, devices: bool) -> None:
    command = {"command": shlex.join(sys.orig_argv), "processes": processes}
    config = flags.FLAGS["config"].value if "config" in flags.FLAGS else None
    described = versions.describe(device=devices)
    records.write(Path(flags.FLAGS["workdir"].value), command | described, config)


def _fail(message: str) -> None:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(1)


def _share_compiled_programs() -> None:
    """Keeps XLA's compiled programs between runs, where the user has not chosen a place."""
    if jax.config.jax_compilation_cache_dir is None:
        cache = os.path.join(os.path.expanduser("~"), ".cache", "mint_jax", "xla")
        jax.config.update("jax_compilation_cache_dir", cache)
