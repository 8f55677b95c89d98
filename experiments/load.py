"""The platform under load: many clients for minutes, and none of their requests lost.

    python -m experiments.load --workdir=DIR [--clients=64] [--minutes=5] [--url=http://...]

serves the embedded model with its shipped auditor on a free port and sends it photos, and a share
of files that are none, from as many clients as are asked for, each within its rate limit. It prints
what was answered, how long that took and how the server's memory went, and writes the same to
`DIR/load.json`; what the server printed is `DIR/server.log`. At last it ends the server while it is
busy. The exit status is 1 if a request was lost, then or before. `--url` loads a server that
already runs and that nobody else uses meanwhile; its memory is not seen, and it goes on.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from absl import flags

from experiments import cli, load_server, versions
from mint_jax.errors import InputError

_WORKDIR = flags.DEFINE_string("workdir", None, "folder of load.json", required=True)
_CLIENTS = flags.DEFINE_integer("clients", 64, "at one time", lower_bound=1, upper_bound=500)
_MINUTES = flags.DEFINE_float("minutes", 5, "for which they send requests", lower_bound=0.01)
_URL = flags.DEFINE_string("url", None, "a server that runs; absent: one is started")
_AUDITED = flags.DEFINE_string("audited", "embedded", "of the server that is started")
_AUDITORS = flags.DEFINE_string(
    "auditors", str(Path(__file__).with_name("demo") / "chosen"), "of the server that is started"
)


def main(argv: Sequence[str]) -> None:
    """Loads a server and tells what came of it."""
    del argv
    loading, workdir = _loading(), Path(_WORKDIR.value)
    workdir.mkdir(parents=True, exist_ok=True)
    with _server(workdir / "server.log") as (process, address):
        found = asyncio.run(
            loading.run(address, _CLIENTS.value, 60 * _MINUTES.value, server=process)
        )
    served = {"url": _URL.value} if _URL.value else {"audited": _AUDITED.value}
    (workdir / "load.json").write_text(json.dumps(served | found | versions.describe(), indent=1))
    print("\n".join(_lines(found)))
    if found["failures"]:
        sys.exit("error: " + "; ".join(found["failures"]))


def _loading() -> ModuleType:
    try:
        from experiments import loading
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is missing: pip install 'mint-jax[dev]'") from None
    return loading


@contextlib.contextmanager
def _server(log: Path) -> Iterator[tuple]:
    """The process, None of a server that runs already, and its address."""
    if _URL.value:
        yield None, _URL.value
        return
    models = [f"--audited={_AUDITED.value}", f"--auditors={_AUDITORS.value}"]
    command = [sys.executable, "-m", "experiments.serve", *models, "--port=0"]
    with load_server.started(command, log) as found:
        yield found


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    """A table of what was found."""
    requests, good = found["requests"], found["good"]
    yield f"{found['clients']} clients, {found['seconds']:.1f} s"
    yield "requests  " + ", ".join(f"{name} {count:,}" for name, count in requests.items())
    yield "answers   " + ", ".join(f"{count:,} x {s}" for s, count in found["statuses"].items())
    yield f"photos    {good['photos']:,}, {good['photos_per_second']:.1f} a second"
    if latency := good["latency"]:
        shown = ", ".join(f"{name} {seconds:.3f}" for name, seconds in latency.items())
        yield f"seconds   {shown} (n = {good['requests']:,})"
    if memory := found["memory_mb"]:
        sizes = (f"{n.replace('_', ' ')} {mb:,.0f}" for n, mb in memory.items() if n != "samples")
        yield f"MB        {', '.join(sizes)} (n = {memory['samples']})"
    if counters := found["counters"]:
        yield f"counters  {'agree' if counters['agree'] else 'do not agree'} with the clients'"
    if shutdown := found["shutdown"]:
        yield (
            f"its end   {shutdown['in_flight']} of {shutdown['sent']} requests in flight, "
            f"{shutdown['lost']} lost, {shutdown['seconds']:.1f} s"
        )


if __name__ == "__main__":
    cli.run(main, devices=False)
