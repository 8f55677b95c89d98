"""How extraction grows with the number of images: time and peak memory, on a generated pack.

    python -m experiments.scale --workdir=DIR [--sizes=1000,10000,100000,200000]

writes one RecordIO pack of synthetic faces for each size, in the layout of InsightFace's training
sets, runs `experiments.extract` on it in a process of its own, and prints a row each: seconds,
images a second, peak memory. `DIR/scale.json` holds the same. A pack repeats a few thousand
rendered faces, each time as another JPEG: rendering 200,000 of them would take half an hour.
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

_WORKDIR = flags.DEFINE_string("workdir", None, "folder of packs and stores", required=True)
_SIZES = flags.DEFINE_list("sizes", ["1000", "10000", "100000", "200000"], "numbers of images")
_AUDITED = flags.DEFINE_string("audited", "embedded", "audited model, as `audited.load` takes it")
_REDUCE = flags.DEFINE_enum("reduce", "max", ["max", "map"], "maxima or whole activation maps")

_PEOPLE, _EACH = 500, 4  # rendered faces; the pack has a person for every 40 images
_CLASS = 40
_GLINT360K = 17_091_657


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
    last = rows[-1]
    hours = _GLINT360K / last["images_per_second"] / 3600
    print(f"{_GLINT360K:,} images at the last rate: {hours:.1f} hours on this machine")
    found = {"audited": _AUDITED.value, "reduce": _REDUCE.value, "rows": rows}
    (workdir / "scale.json").write_text(json.dumps(found | versions.describe(), indent=1))


def _measure(store: Path, pack: Path, size: int) -> dict:
    """Runs the extraction of a pack in a process of its own, which starts from nothing."""
    config = (
        "--config=experiments/configs/extract.py:"
        f"audited={_AUDITED.value},images={pack / 'train'},reduce={_REDUCE.value}"
    )
    script = (  # VmHWM, as ru_maxrss is inherited from the process that starts another
        "import atexit, runpy, sys; sys.argv = sys.argv[1:]\n"
        "atexit.register(lambda: print(open('/proc/self/status').read()))\n"
        "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)\n"
    )
    begin = time.perf_counter()
    run = subprocess.run(
        [sys.executable, "-c", script, "experiments.extract", f"--workdir={store}", config],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seconds = time.perf_counter() - begin
    peak = int(run.stdout.split("VmHWM:")[1].split()[0]) / 1024
    return {
        "images": size,
        "seconds": round(seconds, 1),
        "images_per_second": round(size / seconds, 1),
        "peak_mb": round(peak, 1),
    }


def _write(folder: Path, size: int) -> None:
    """A training set in InsightFace's layout: record 0, the images, a record for each person."""
    folder.mkdir(parents=True, exist_ok=True)
    people = -(-size // _CLASS)
    offsets = []
    with open(folder / "train.rec", "wb") as file:

        def add(flag: int, labels: Sequence[float], payload: bytes) -> None:
            offsets.append(file.tell())
            label = labels[0] if not flag else 0.0
            more = np.float32(labels).tobytes() if flag else b""
            data = struct.pack("<IfQQ", flag, label, len(offsets) - 1, 0) + more + payload
            file.write(struct.pack("<II", 0xCED7230A, len(data)) + data + bytes(-len(data) % 4))

        add(2, (size + 1, size + 1 + people), b"")
        for row, jpeg in enumerate(tqdm(_jpegs(size), f"writing {folder.name}", size)):
            add(0, (row // _CLASS,), jpeg)
        for person in range(people):
            last = min((person + 1) * _CLASS, size)
            add(2, (person * _CLASS + 1, last + 1), b"")
    lines = (f"{key}\t{offset}\n" for key, offset in enumerate(offsets))
    (folder / "property").write_text(f"{people},112,112")
    (folder / "train.idx").write_text("".join(lines))


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
    cli.run(main)
