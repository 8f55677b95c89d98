"""How every entry point starts, and how it fails: one clear line for bad input, no traceback."""

import os
import sys
import warnings
from collections.abc import Callable, Sequence

import jax
from absl import app, flags, logging
from ml_collections import config_flags
from threadpoolctl import threadpool_limits

from data_pipelines import errors as data_errors
from mint_jax import errors


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Runs `main` under absl; an `InputError` becomes one line on stderr and exit status 1."""

    def guarded(argv: Sequence[str]) -> None:
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.WARNING)  # Orbax reports every file it writes
        if len(argv) > 1:
            _fail(f"unexpected argument {argv[1]!r}: everything is a flag, see --help")
        _check_config()
        try:
            main(argv)
        except (errors.InputError, data_errors.InputError) as error:
            _fail(str(error))

    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    _share_compiled_programs()
    # On problems as small as ours threads of BLAS wait for each other, and XLA has its own.
    threadpool_limits(1, user_api="blas")
    app.run(guarded, flags_parser=_parse)


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


def _fail(message: str) -> None:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(1)


def _share_compiled_programs() -> None:
    """Keeps XLA's compiled programs between runs, where the user has not chosen a place."""
    if jax.config.jax_compilation_cache_dir is None:
        cache = os.path.join(os.path.expanduser("~"), ".cache", "mint_jax", "xla")
        jax.config.update("jax_compilation_cache_dir", cache)
