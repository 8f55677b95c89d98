"""How extraction grows with the number of images: time and peak memory, on a generated pack.

    python -m experiments.scale --workdir=DIR [--sizes=1000,10000,100000,200000]

writes one RecordIO pack of synthetic faces for each size, in the layout of InsightFace's training
sets, runs `experiments.extract` on it in a process of its own, and prints a row each: seconds,
images a second, peak memory. `DIR/scale.json` holds the same. A pack repeats a few thousand
rendered faces, each time as another JPEG: rendering 200,000 of them would take half an hour. Last
it opens an index as long as Glint360K's, of a pack in which only the records exist that tell where
the images end.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments import cli, versions
from experiments.benchmarks import children, packs

_GLINT360K = 17_091_657  # images
_WORKDIR = flags.DEFINE_string("workdir", None, "folder of packs and stores", required=True)
_SIZES = flags.DEFINE_list("sizes", ["1000", "10000", "100000", "200000"], "numbers of images")
_AUDITED = flags.DEFINE_string("audited", "embedded", "audited model, as `audited.load` takes it")
_REDUCE = flags.DEFINE_enum("reduce", "max", ["max", "map"], "maxima or whole activation maps")

_INDEX = flags.DEFINE_integer("index", _GLINT360K, "images of the index that is opened; 0: none")


def main(argv: Sequence[str]) -> None:
    """Measures each size and says what 17 million images would take."""
    del argv
    workdir = Path(_WORKDIR.value)
    rows = []
    for size in map(int, _SIZES.value):
        pack = workdir / f"pack{size}"
        if not (pack / "train.idx").exists():
            packs.write(pack, packs.faces(size), size)
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
    ran = children.run_module("experiments.extract", f"--workdir={store}", config)
    return {
        "images": size,
        "seconds": round(ran.seconds, 1),
        "images_per_second": round(size / ran.seconds, 1),
        "peak_mb": ran.peak_mb,
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
    _, peak, printed = children.run(script, str(folder / "train"))
    count, seconds = printed.split()[:2]
    print(f"{int(count):>9,} rows opened: {float(seconds):.1f} s, peak memory {peak:,.0f} MB")
    return {"images": int(count), "seconds": round(float(seconds), 1), "peak_mb": peak}


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
