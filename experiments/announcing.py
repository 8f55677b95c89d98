"""What commands that train auditors say while they do, above the progress bar."""

import logging
import sys

from tqdm import tqdm

from mint_jax import parallel
from mint_jax.auditors import fit


def placements() -> None:
    """Lets through where activations live and why, once for each kind of auditor and layer."""
    logger = logging.getLogger(fit.__name__)
    logger.addHandler(_OnceEach())
    logger.setLevel(logging.INFO)
    logger.propagate = False


class _OnceEach(logging.Handler):
    """Prints, from process 0, the first of the messages about the same kind and layer."""

    def __init__(self):
        super().__init__()
        self._said = set()

    def emit(self, record: logging.LogRecord) -> None:
        about = record.args[:2]
        if about not in self._said and not parallel.process_index():
            self._said.add(about)
            tqdm.write(record.getMessage(), file=sys.stderr)
