"""The web platform: upload a photo, Run MINT, take the report home.

    python -m experiments.serve --audited=embedded --port=8000 \
        --auditors=runs/embedded/auditors/matched/chosen

serves the pages and the JSON API of `mint_jax.demonstrator` on this machine alone, and writes a
line of JSON to its output for each request. An auditor is one that decides in an audit,
AUDIT/auditors/PROTOCOL/chosen, and belongs to the audited model whose hash it has. For others to
reach it, put a reverse proxy before it: see docs/deploy.md.
"""

import logging
import socket
import sys
from collections.abc import Sequence

import uvicorn
from absl import flags

from experiments import cli, gallery, serving
from mint_jax import demonstrator
from mint_jax.errors import InputError

_AUDITED = flags.DEFINE_list("audited", None, "audited models, as they were trained", required=True)
_AUDITORS = flags.DEFINE_list("auditors", None, "AUDIT/auditors/PROTOCOL/chosen", required=True)
_PORT = flags.DEFINE_integer("port", 8000, "0: a free one", lower_bound=0, upper_bound=65535)
_HOST = flags.DEFINE_string("host", "127.0.0.1", "address to listen on")
_DETECTOR = flags.DEFINE_string("detector", None, "detector .onnx; the audits' if absent")
_BATCH = flags.DEFINE_integer("batch", 8, "faces in a step of one device", lower_bound=1)
_GRACE = 30  # seconds that requests have to end once the server is told to stop


def main(argv: Sequence[str]) -> None:
    """Takes the port, makes everything ready, and serves until it is told to stop."""
    del argv
    listening = _listen(_HOST.value, _PORT.value)
    examiner = serving.open_examiner(_AUDITED.value, _AUDITORS.value, _DETECTOR.value, _BATCH.value)
    examples = gallery.examples() if "embedded" in _AUDITED.value else []
    app = demonstrator.create_app(examiner, examples=examples)
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    _log_requests()
    listening.listen()
    print(f"http://{shown}:{port} (Ctrl+C stops it)", file=sys.stderr)
    config = uvicorn.Config(
        app,
        access_log=False,  # it would hold addresses
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=_GRACE,
    )
    uvicorn.Server(config).run(sockets=[listening])


def _log_requests() -> None:
    """Lets the platform's own lines through, which hold neither names nor addresses."""
    logger, handler = logging.getLogger(demonstrator.__name__), logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _listen(host: str, port: int) -> socket.socket:
    """A socket of that address, not yet open to visitors.

    Raises:
      InputError: somebody else listens there, or there is no such address here.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
    except OSError as error:
        found.close()
        raise InputError(f"--host={host} --port={port}: {error.strerror or error}") from None
    return found


if __name__ == "__main__":
    cli.run(main)
