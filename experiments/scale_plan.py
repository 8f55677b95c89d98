"""What 22 million images cost on 1, 8 and 64 accelerators, reckoned from measured figures.

    python -m experiments.scale_plan --workdir=DIR [--images=22000000] [--devices=1,8,64]

reads the `DIR/scale.json` that `experiments.scale` wrote, fits time and memory of each work over
the sizes that were measured, and prints tables in Markdown. Every figure is called measured,
assumption or arithmetic; the last is made of the other two. Assumptions are flags. A work that was
not measured at two sizes at least has no row.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from absl import flags

from experiments import cli, scale_parts, scale_rows
from experiments.scale_rows import Line
from mint_jax.errors import InputError

_WORKDIR = flags.DEFINE_string("workdir", None, "folder of scale.json", required=True)
_IMAGES = flags.DEFINE_integer("images", 22_000_000, "of the database", lower_bound=1)
_DEVICES = flags.DEFINE_list("devices", ["1", "8", "64"], "numbers of accelerators")
_SPEED = flags.DEFINE_float(
    "speed",
    5000,
    "images a second of which one accelerator computes the activations: assumed; an IResNet-100 "
    "takes 24 GFLOP for each view of an image",
    lower_bound=1e-9,
)
_CORES = flags.DEFINE_float(
    "cores",
    14,
    "of the host for each accelerator: as NVIDIA's DGX H100 user guide has them, 112 for 8",
    lower_bound=1e-9,
)
_ENCODED = flags.DEFINE_integer(
    "encoded", 6000, "bytes of an encoded image of 112x112, assumed", lower_bound=1
)
_NUMBERS = flags.DEFINE_integer(
    "numbers",
    1984,
    "float32 that a store has of an image: of an IResNet-100 the maxima of four stages, 960, its "
    "outcome and that of the mirrored photo, 512 each",
    lower_bound=1,
)

_MADE = "arithmetic"

Row = tuple[str, str, Callable[[int], str]]  # quantity, kind, what it is for some accelerators


def main(argv: Sequence[str]) -> None:
    """Prints what was measured, and the plan."""
    del argv
    path, texts = Path(_WORKDIR.value) / "scale.json", _DEVICES.value
    found = scale_rows.lines(scale_rows.read(path))
    if "read" not in found:
        raise InputError(f"{path}: experiments.scale --works=read at two sizes is missing")
    if not (texts and all(text.isdecimal() and int(text) for text in texts)):
        raise InputError(f"--devices: numbers from 1 on, not {','.join(texts)!r}")
    devices = [int(text) for text in texts]
    print("\n".join(_measured(found)), end="\n\n")
    print(f"{_IMAGES.value:,} images. Arithmetic is made of measured figures and of assumptions.\n")
    print("| quantity | kind | " + " | ".join(f"accelerators: {d}" for d in devices) + " |")
    print("|---|---|" + "---|" * len(devices))
    for name, kind, of in itertools.chain(_divided(found), _single(found), _room(found)):
        print(f"| {name} | {kind} | " + " | ".join(map(of, devices)) + " |")


def _measured(found: Mapping[str, Line]) -> Iterator[str]:
    yield "Measured, one run a size; time fitted over all sizes, memory between the two largest."
    yield ""
    yield (
        "| work | sizes | cores | microseconds an image | start, s | memory at the largest "
        "| memory, bytes an image | disk, bytes an image |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for work, line in found.items():
        sizes = ", ".join(f"{size:,}" for size in line.sizes)
        micro = f"{1e6 * line.seconds:,.3g}" + (" a pair" if work in scale_rows.SQUARED else "")
        disk = "none" if line.disk is None else f"{line.disk:,.0f}"
        yield (
            f"| {work} | {sizes} | {line.cores} | {micro} | {line.start:.1f} "
            f"| {_bytes(line.peak)} | {line.growth:,.0f} | {disk} |"
        )


def _divided(found: Mapping[str, Line]) -> Iterator[Row]:
    """What more accelerators and their hosts share."""
    n, speed, cores = _IMAGES.value, _SPEED.value, _CORES.value
    core = 1 / (found["read"].seconds * found["read"].cores)  # images/s
    process = 1 / found["fetch"].seconds if "fetch" in found else math.inf
    hosts = min(cores * core, process)
    rate = min(speed, hosts)
    yield "images/s of an accelerator", "assumption", _same(f"{speed:,.0f}")
    yield "cores for each, in a process of its own", "assumption", _same(f"{cores:g}")
    yield "bytes of an encoded image", "assumption", _same(f"{_ENCODED.value:,}")
    yield "images/s that a core reads and decodes", "measured", _same(f"{core:,.0f}")
    if "fetch" in found:
        yield "images/s of a process, if decoding were free", "measured", _same(f"{process:,.0f}")
    yield "forward passes alone", _MADE, lambda devices: _time(n / speed / devices)
    yield "reading and decoding alone", _MADE, lambda devices: _time(n / hosts / devices)
    yield "both, one hiding the other", _MADE, lambda devices: _time(n / rate / devices)
    yield "share in which a device waits for images", _MADE, _same(f"{1 - rate / speed:.0%}")
    yield "cores so that none waits", _MADE, lambda d: f"{math.ceil(speed / core * d):,}"
    stored = rate * _ENCODED.value
    yield "what storage has to give, a second", _MADE, lambda d: _bytes(stored * d)
    for work in ("extract", "score"):
        if work in found:
            yield f"start of {work}", "measured", _same(_time(found[work].start))


def _single(found: Mapping[str, Line]) -> Iterator[Row]:
    """What one process does, however many accelerators there are."""
    n = _IMAGES.value
    for work in ("open", "labels", "scan", "merge", "split"):
        if work in found:
            yield f"{work}, one process", _MADE, _same(_time(n * found[work].seconds))
    if "compare" in found:
        seconds = float(scale_rows.pairs(n)) * found["compare"].seconds
        yield "compare: each with each, one process", _MADE, _same(_time(seconds))
    if "search" in found:
        line = found["search"]
        words = f"search of all for {scale_parts.QUERIES:,}, {line.cores} cores of this machine"
        yield words, _MADE, _same(_time(n * line.seconds))


def _room(found: Mapping[str, Line]) -> Iterator[Row]:
    """What has to fit on disks and in memory."""
    n = _IMAGES.value
    for work, what in (("extract", "store"), ("score", "file of scores")):
        if work in found and found[work].disk is not None:
            yield f"{what}, of the network measured", _MADE, _same(_bytes(n * found[work].disk))
    yield (
        f"store of {_NUMBERS.value:,} float32 an image",
        _MADE,
        _same(_bytes(4 * n * _NUMBERS.value)),
    )
    yield "embeddings as a bank for search", _MADE, _same(_bytes(4 * n * scale_parts.WIDTH))
    for work in ("extract", "score", "open", "labels", "merge"):
        if work in found and (memory := found[work].memory(n)) is not None:
            yield f"memory of {work}, each process", _MADE, _same(_bytes(memory))


def _same(text: str) -> Callable[[int], str]:
    """A figure that does not depend on how many accelerators there are."""
    return lambda devices: text


def _time(seconds: float) -> str:
    """In the unit that suits it."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{_three(seconds / length)} {unit}"
    return f"{_three(max(0.0, seconds))} s"


def _bytes(count: float) -> str:
    """In MB or GB, of powers of ten."""
    return f"{_three(count / 1e9)} GB" if count >= 1e9 else f"{_three(count / 1e6)} MB"


def _three(number: float) -> str:
    """With three digits at least."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


if __name__ == "__main__":
    cli.run(main, devices=False)
