"""The platform under load: many clients for minutes, and none of their requests lost.

    python -m experiments.load --workdir=DIR [--clients=64] [--minutes=5] [--url=http://...]

serves the embedded model with its shipped auditor on a free port and sends it photos, and a share
of files that are none, from as many clients as are asked for, each within its rate limit. It prints
what was answered, how long that took and how the server's memory went, and writes the same to
`DIR/load.json`; what the server printed is `DIR/server.log`. At last it ends the server while it is
busy. The exit status is 1 if a request was lost, then or before. `--url` loads a server that
already runs and that nobody else uses meanwhile; its memory is not seen, and it goes on.

Of several numbers of clients, `--clients=1,8,64`, each has the minutes and a server of its own,
which prints into `DIR/server1.log`. `DIR/load.json` is then a list, written after each of them,
and a table in Markdown puts them side by side.
"""

import asyncio
import contextlib
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from absl import flags

from experiments import cli, load_server, versions
from mint_jax.errors import InputError

_WORKDIR = flags.DEFINE_string("workdir", None, "folder of load.json", required=True)
_MOST = 500  # clients
_CLIENTS = flags.DEFINE_list("clients", ["64"], "at one time; several numbers: one after another")
_MINUTES = flags.DEFINE_float("minutes", 5, "for which they send requests", lower_bound=0.01)
_URL = flags.DEFINE_string("url", None, "a server that runs; absent: one is started")
_AUDITED = flags.DEFINE_string("audited", "embedded", "of the server that is started")
_AUDITORS = flags.DEFINE_string(
    "auditors", str(Path(__file__).with_name("demo") / "chosen"), "of the server that is started"
)


def main(argv: Sequence[str]) -> None:
    """Loads a server and tells what came of it."""
    del argv
    numbers, loading, workdir = _numbers(), _loading(), Path(_WORKDIR.value)
    workdir.mkdir(parents=True, exist_ok=True)
    served = {"url": _URL.value} if _URL.value else {"audited": _AUDITED.value}
    runs: list[dict] = []
    for clients in numbers:
        log = workdir / f"server{clients if len(numbers) > 1 else ''}.log"
        with _server(log) as (process, address):
            run = loading.run(address, clients, 60 * _MINUTES.value, server=process)
            runs.append(served | asyncio.run(run))
        # Asked for the device, this process would take it, and later servers could not.
        described = versions.describe(device=clients == numbers[-1])
        runs = [run | described for run in runs]
        written = runs if len(numbers) > 1 else runs[0]
        (workdir / "load.json").write_text(json.dumps(written, indent=1))
        print("\n".join(_lines(runs[-1])), flush=True)
    if len(runs) > 1:
        print("\n".join(_table(runs)))
    if failures := [failure for found in runs for failure in _named_failures(found, len(runs))]:
        sys.exit("error: " + "; ".join(failures))


def _numbers() -> list[int]:
    """Of clients."""
    given = _CLIENTS.value
    if not (given and all(text.isdecimal() and 1 <= int(text) <= _MOST for text in given)):
        raise InputError(f"--clients: numbers from 1 to {_MOST}, not {','.join(given)!r}")
    return list(dict.fromkeys(map(int, given)))


def _named_failures(found: Mapping[str, Any], runs: int) -> list[str]:
    which = f"{found['clients']} clients: " if runs > 1 else ""
    return [which + failure for failure in found["failures"]]


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


def _table(runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """In Markdown; seconds and rates are of photos that were examined."""
    yield "| clients | requests/s | photos/s | n | p50, s | p99, s | longest, s | memory at most |"
    yield "|---|---|---|---|---|---|---|---|"
    for found in runs:
        good, memory = found["good"], found["memory_mb"]
        latency = good["latency"] or dict.fromkeys(("median", "p99", "max"), math.nan)
        seconds = " | ".join(f"{latency[name]:.3f}" for name in ("median", "p99", "max"))
        peak = f"{memory['peak']:,.0f} MB" if memory else "unknown"
        yield (
            f"| {found['clients']} | {good['requests'] / found['seconds']:.1f} "
            f"| {good['photos_per_second']:.1f} | {good['requests']:,} | {seconds} | {peak} |"
        )


if __name__ == "__main__":
    cli.run(main, devices=False)
