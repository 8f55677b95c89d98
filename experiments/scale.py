"""How the cost of everything grows with the number of images: time, peak memory, disk.

    python -m experiments.scale --workdir=DIR [--sizes=1000,10000,100000] [--works=extract,score]

writes one RecordIO pack of synthetic faces for each size, in the layout of InsightFace's training
sets, and runs each work on it in a process of its own, which starts from nothing: the commands
`experiments.extract` and `experiments.score`, of which seconds are those of the whole process, and
the parts in `experiments/scale_parts.py`, of which they are those of the part alone. It prints a
row each and writes all to `DIR/scale.json`, after each; rows of an earlier run that are not
measured anew stay. `experiments.scale_plan` reckons from them what 22 million images cost.

A pack repeats a few thousand rendered faces, each time as another JPEG: rendering 200,000 of them
would take half an hour. Last it opens an index as long as Glint360K's, of a pack in which only the
records exist that tell where the images end.
"""

import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

import experiments
from experiments import cli, scale_parts, scale_rows, versions
from experiments.benchmarks import children, packs
from mint_jax.errors import InputError

_HERE = Path(experiments.__file__).parent
_GLINT360K = 17_091_657  # images
_COMMANDS = ("extract", "score")
_WORKS = (*_COMMANDS, *scale_parts.PARTS)
_PART = "import sys; from experiments import scale_parts; scale_parts.run(*sys.argv[1:])"

_WORKDIR = flags.DEFINE_string("workdir", None, "folder of packs and scale.json", required=True)
_SIZES = flags.DEFINE_list("sizes", ["1000", "10000", "100000"], "numbers of images")
_RUN = flags.DEFINE_list("works", list(_WORKS), f"some of {', '.join(_WORKS)}")
_AUDITED = flags.DEFINE_string("audited", "embedded", "audited model, as `audited.load` takes it")
_AUDITOR = flags.DEFINE_string("auditor", None, "an auditor of it; None: the shipped one")
_REDUCE = flags.DEFINE_enum("reduce", "max", ["max", "map"], "maxima or whole activation maps")
_INDEX = flags.DEFINE_integer("index", _GLINT360K, "images of the index that is opened; 0: none")


def main(argv: Sequence[str]) -> None:
    """Measures each work at each size."""
    del argv
    sizes, workdir = _checked(), Path(_WORKDIR.value)
    workdir.mkdir(parents=True, exist_ok=True)
    output = workdir / "scale.json"
    of = {"audited": _AUDITED.value, "auditor": _AUDITOR.value, "reduce": _REDUCE.value}
    found = {(row["work"], row["images"]): row for row in scale_rows.read(output)}
    if any(row["of"] != of for row in found.values()):
        raise InputError(f"{output}: its rows are of other networks; choose another workdir")

    def keep(row: dict[str, Any]) -> None:
        described = versions.describe(device=False)
        row |= {"cores": len(os.sched_getaffinity(0)), "of": of, **described}
        found[row["work"], row["images"]] = row
        output.write_text(json.dumps({"rows": list(found.values())}, indent=1) + "\n")
        print(_line(row), flush=True)

    for size in sizes:
        pack = _pack(workdir / f"pack{size}", size)
        for work in _RUN.value:
            with tempfile.TemporaryDirectory(dir=workdir) as folder:
                keep(_measure(work, pack, size, Path(folder)))
    if _INDEX.value:
        with tempfile.TemporaryDirectory(dir=workdir) as folder:
            _write_index(Path(folder) / "train", _INDEX.value)
            keep(_measure("open", Path(folder) / "train", _INDEX.value, Path(folder)))


def _checked() -> list[int]:
    """Sizes, after works and sizes were looked at."""
    for work in _RUN.value:
        if work not in _WORKS:
            raise InputError(f"--works: {work!r} is none of {', '.join(_WORKS)}")
    if not all(size.isdecimal() and int(size) for size in _SIZES.value):
        raise InputError(f"--sizes: numbers from 1 on, not {','.join(_SIZES.value)!r}")
    return [int(size) for size in _SIZES.value]


def _pack(folder: Path, size: int) -> Path:
    """The prefix of a pack, which is written where it is not there."""
    if not (folder / "train.idx").exists():
        begin = time.perf_counter()
        packs.write(folder, packs.faces(size), size)
        seconds, written = time.perf_counter() - begin, _disk_mb(folder)
        print(f"{size:>10,} images written: {seconds:.1f} s, {written:,.0f} MB", flush=True)
    return folder / "train"


def _measure(work: str, pack: Path, size: int, folder: Path) -> dict[str, Any]:
    """Runs a work in a process of its own; what it leaves is in `folder`."""
    left = folder / "left"
    if work == "extract":
        named = f"audited={_AUDITED.value},images={pack},reduce={_REDUCE.value}"
        config = f"--config={_HERE / 'configs' / 'extract.py'}:{named}"
        ran = children.run_module("experiments.extract", config, f"--workdir={left}")
    elif work == "score":
        auditor = _AUDITOR.value or _HERE / "demo" / "chosen"
        named = f"--audited={_AUDITED.value}", f"--auditor={auditor}", f"--images={pack}"
        ran = children.run_module("experiments.score", *named, f"--output={left}")
    else:
        environment = {"XDG_CACHE_HOME": str(folder / "cache")}  # labels and offsets are kept there
        ran = children.run(_PART, work, str(pack), str(size), str(folder), **environment)
    seconds = ran.seconds if work in _COMMANDS else float(ran.printed.split()[0])
    return {
        "work": work,
        "images": size,
        "seconds": round(seconds, 3),
        "images_per_second": round(size / seconds, 1),
        "peak_mb": ran.peak_mb,
        "disk_mb": round(_disk_mb(left), 3) if work in _COMMANDS else None,
    }


def _disk_mb(path: Path) -> float:
    """Of a file, or of all files of a folder."""
    files = [file for file in (path, *path.rglob("*")) if file.is_file()]
    return sum(file.stat().st_size for file in files) / 2**20


def _line(row: dict[str, Any]) -> str:
    disk = "" if row["disk_mb"] is None else f", {row['disk_mb']:,.1f} MB on disk"
    speed = f"{row['seconds']:8.1f} s, {row['images_per_second']:11,.0f} images/s"
    return (
        f"{row['work']:>8} {row['images']:>10,} images: {speed}, "
        f"peak memory {row['peak_mb']:,.0f} MB{disk}"
    )


def _write_index(prefix: Path, size: int) -> None:
    """An index of `size` images and a person for every 47, and a sparse .rec for it."""
    border, count, step = size + 1, size + 1 + size // 47, 64
    real = {0: packs.record(0, (border, count), b"")}
    real |= {row: packs.record(row, (0,), b"an image") for row in range(border - 4, border)}
    real |= {row: packs.record(row, (1, 2), b"") for row in (*range(border, border + 4), count - 1)}
    with open(prefix.with_suffix(".rec"), "wb") as file:
        file.truncate(count * step)
        for row, data in real.items():
            file.seek(row * step)
            file.write(data)
    with open(prefix.with_suffix(".idx"), "w") as file:
        for row in range(0, count, 1 << 16):
            lines = (f"{key}\t{key * step}\n" for key in range(row, min(row + (1 << 16), count)))
            file.write("".join(lines))


if __name__ == "__main__":
    cli.run(main, devices=False)
