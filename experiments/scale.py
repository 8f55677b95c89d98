"""How extraction grows with the number of images: time and peak memory, on a generated pack.

    python -m experiments.scale --workdir=DIR [--sizes=1000,10000,100000,200000]

writes one RecordIO pack of synthetic faces for each size, in the layout of InsightFace's training
sets, runs `experiments.extract` on it in a process of its own, and prints a row each: seconds,
images a second, peak memory. `DIR/scale.json` holds the same. A pack repeats a few thousand
rendered faces, each time as another JPEG: rendering 200,000 of them would take half an hour. Last
it opens an index as long as Glint360K's, of a pack in which only the records exist that tell where
the images end.
"""

import itertools
import json
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from absl import flags
from tqdm import tqdm

from data_pipelines import images
from data_pipelines.databases.synthetic_faces import SyntheticFaces
from experiments import cli, versions

_GLINT360K = 17_091_657  # images
_WORKDIR = flags.DEFINE_string("workdir", None, "folder of packs and stores", required=True)
_SIZES = flags.DEFINE_list("sizes", ["1000", "10000", "100000", "200000"], "numbers of images")
_AUDITED = flags.DEFINE_string("audited", "embedded", "audited model, as `audited.load` takes it")
_REDUCE = flags.DEFINE_enum("reduce", "max", ["max", "map"], "maxima or whole activation maps")

_INDEX = flags.DEFINE_integer("index", _GLINT360K, "images of the index that is opened; 0: none")

_PEOPLE, _EACH = 500, 4  # rendered faces; the pack has a person for every 40 images
_CLASS = 40


def main(argv: Sequence[str]) -> None:
    """Measures each size and says what 17 million images would take."""
    del argv
    workdir = Path(_WORKDIR.value)
    rows = []
    for size in map(int, _SIZES.value):
        pack = workdir / f"pack{size}"
        if not (pack / "train.idx").exists():
            _write(pack, size)
        rows.append(_measure(workdir / f"store{size}", pack, size))
        row = rows[-1]
        speed = f"{row['seconds']:8.1f} s, {row['images_per_second']:7,.0f} images/s"
        print(f"{size:>9,} images: {speed}, peak memory {row['peak_mb']:,.0f} MB")
    opened = _open_index(workdir / "index", _INDEX.value) if _INDEX.value else None
    last = rows[-1]
    hours = _GLINT360K / last["images_per_second"] / 3600
    print(f"{_GLINT360K:,} images at the last rate: {hours:.1f} hours on this machine")
    found = {"audited": _AUDITED.value, "reduce": _REDUCE.value, "rows": rows, "index": opened}
    (workdir / "scale.json").write_text(json.dumps(found | versions.describe(), indent=1))


def _measure(store: Path, pack: Path, size: int) -> dict:
    """Runs the extraction of a pack in a process of its own, which starts from nothing."""
    config = (
        "--config=experiments/configs/extract.py:"
        f"audited={_AUDITED.value},images={pack / 'train'},reduce={_REDUCE.value}"
    )
    script = (
        "import runpy, sys; sys.argv = sys.argv[1:]; "
        "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
    )
    seconds, peak, _ = _run(script, "experiments.extract", f"--workdir={store}", config)
    return {
        "images": size,
        "seconds": round(seconds, 1),
        "images_per_second": round(size / seconds, 1),
        "peak_mb": peak,
    }


def _open_index(folder: Path, size: int) -> dict:
    """Opens an index of `size` images in a process of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_index(folder / "train", size)
    script = (
        "import sys, time; from data_pipelines.recordio import RecordIOSource; "
        "begin = time.perf_counter(); source = RecordIOSource(sys.argv[1]); "
        "print(len(source), time.perf_counter() - begin)"
    )
    _, peak, printed = _run(script, str(folder / "train"))
    count, seconds = printed.split()[:2]
    print(f"{int(count):>9,} rows opened: {float(seconds):.1f} s, peak memory {peak:,.0f} MB")
    return {"images": int(count), "seconds": round(float(seconds), 1), "peak_mb": peak}


def _run(script: str, *arguments: str) -> tuple[float, float, str]:
    """Runs Python; seconds, peak memory in MB, and what it printed.

    Peak memory is VmHWM: `ru_maxrss` is inherited from the process that starts another.
    """
    first = "import atexit; atexit.register(lambda: print(open('/proc/self/status').read())); "
    begin = time.perf_counter()
    command = [sys.executable, "-c", first + script, *arguments]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.perf_counter() - begin
    peak = int(run.stdout.split("VmHWM:")[1].split()[0]) / 1024
    return seconds, round(peak, 1), run.stdout


def _write_index(prefix: Path, size: int) -> None:
    """An index of `size` images and a person for every 47, and a sparse .rec for it."""
    border, count, step = size + 1, size + 1 + size // 47, 64
    real = {0: _record(0, (border, count), b"")}
    real |= {row: _record(row, (0,), b"an image") for row in range(border - 4, border)}
    real |= {row: _record(row, (1, 2), b"") for row in (*range(border, border + 4), count - 1)}
    with open(prefix.with_suffix(".rec"), "wb") as file:
        file.truncate(count * step)
        for row, data in real.items():
            file.seek(row * step)
            file.write(data)
    with open(prefix.with_suffix(".idx"), "w") as file:
        for row in range(0, count, 1 << 16):
            lines = (f"{key}\t{key * step}\n" for key in range(row, min(row + (1 << 16), count)))
            file.write("".join(lines))


def _write(folder: Path, size: int) -> None:
    """A training set in InsightFace's layout: record 0, the images, a record for each person."""
    folder.mkdir(parents=True, exist_ok=True)
    people = -(-size // _CLASS)
    offsets = []
    with open(folder / "train.rec", "wb") as file:

        def add(labels: Sequence[float], payload: bytes) -> None:
            offsets.append(file.tell())
            file.write(_record(len(offsets) - 1, labels, payload))

        add((size + 1, size + 1 + people), b"")
        for row, jpeg in enumerate(tqdm(_jpegs(size), f"writing {folder.name}", size)):
            add((row // _CLASS,), jpeg)
        for person in range(people):
            last = min((person + 1) * _CLASS, size)
            add((person * _CLASS + 1, last + 1), b"")
    lines = (f"{key}\t{offset}\n" for key, offset in enumerate(offsets))
    (folder / "property").write_text(f"{people},112,112")
    (folder / "train.idx").write_text("".join(lines))


def _record(key: int, labels: Sequence[float], payload: bytes) -> bytes:
    """A record with one label, or with several and a flag that counts them."""
    flag, label = (0, labels[0]) if len(labels) == 1 else (len(labels), 0)
    more = np.float32(labels).tobytes() if flag else b""
    data = struct.pack("<IfQQ", flag, label, key, 0) + more + payload
    return struct.pack("<II", 0xCED7230A, len(data)) + data + bytes(-len(data) % 4)


def _jpegs(size: int) -> Iterator[bytes]:
    """`size` JPEG files of rendered faces, no two alike."""
    source = SyntheticFaces("studio", 1, _PEOPLE, _EACH)
    faces = [source[row]["image"] for row in range(min(size, len(source)))]
    rng = np.random.default_rng(0)
    for face in itertools.islice(itertools.cycle(faces), size):
        moved = np.roll(face, rng.integers(-3, 4, 2), axis=(0, 1)).astype(np.int16)
        light = np.clip(moved + rng.integers(-20, 21), 0, 255).astype(np.uint8)
        yield images.encode_jpeg(light, int(rng.integers(80, 98)))


if __name__ == "__main__":
    cli.run(main, devices=False)
