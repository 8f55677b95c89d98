"""Commands as users start them, each run in a process of its own."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import experiments
from experiments import audit_sets
from experiments.benchmarks import children, packs
from experiments.benchmarks.races import Figure, Peer, Race
from experiments.configs import common

_HERE = Path(experiments.__file__).parent
_SMALL = 1000  # images, whose memory is compared with that of more
_SPARE = 1.3  # times the images that an audit wants, of which it picks some
_LIMIT = 300.0  # seconds: the design's "less than 5 minutes"


def start(folder: Path, count: int = 32) -> Race:
    """From the start of a process to the scores of a few photos, with and without the cache."""
    pack = packs.write(folder / f"pack{count}", packs.faces(count), count)
    outputs = (folder / f"scores{number}.jsonl" for number in itertools.count())
    flags = f"--auditor={_HERE / 'demo' / 'chosen'}", f"--images={pack}", "--audited=embedded"

    def scored(**environment: str) -> Figure:
        return lambda: (
            children.run_module(
                "experiments.score", *flags, f"--output={next(outputs)}", **environment
            ).seconds
        )

    words = f"{count} photos scored from the start of a process, XLA's programs in the cache"
    ours = scored(JAX_COMPILATION_CACHE_DIR=str(folder / "programs"))
    peer = Peer("without the cache", scored(JAX_ENABLE_COMPILATION_CACHE="false"))
    return Race(words, "s", count, ours, [peer], turns=3)


def memory_flat(folder: Path, count: int = 10_000, small: int = _SMALL) -> Race:
    """Peak memory of an extraction of `count` images, beside that of fewer."""
    stores = (folder / f"store{number}" for number in itertools.count())

    def peak(size: int) -> Figure:
        pack = packs.write(folder / f"pack{size}", packs.faces(size), size)
        config = f"{_HERE / 'configs' / 'extract.py'}:audited=embedded,images={pack}"
        flags = "experiments.extract", f"--config={config}"
        return lambda: children.run_module(*flags, f"--workdir={next(stores)}").peak_mb

    words = f"peak memory of extracting {count:,} images from a pack into a store"
    ours, less = peak(count), peak(small)
    less()  # compiles, which takes memory, so that neither does
    return Race(words, "MB", count, ours, [Peer(f"{small:,} images", less, 0.9)], 2, warm=False)


def tables(
    folder: Path,
    audited: str = "iresnet100:random=0",
    sizes: Sequence[int] = (1000, 50_000, 100_000),
    seeds: int = 5,
    **options: object,
) -> Race:
    """Tables 1 and 2 of one protocol out of two packs of JPEG files, beside the design's limit.

    An IResNet-100's maps take .75 MB an image. By arithmetic, those of 100,000 and of the images
    for tests are 79 GB, and 128 GB of memory have room for them.
    """
    config = common.tables(tuple(sizes))
    config.update(options)
    found, count = {}, 0
    for seed, side in enumerate(("members", "externals")):
        wanted = sum(audit_sets.wanted_images(config, side).values())
        size = round(_SPARE * wanted)
        found[side] = packs.write(folder / side, packs.textures(size, seed), size, each=2)
        count += wanted
    arguments = {"onnx": audited, "sizes": ";".join(map(str, sizes))} | found
    named = ",".join(f"{key}={value}" for key, value in arguments.items())
    options |= {"seeds": seeds, "cnn_seeds": seeds, "robustness": False, "controls": ("pixels",)}
    options["maps"] = "bfloat16"
    flags = [f"--config={_HERE / 'configs' / 'your_model.py'}:{named}"]
    flags += [f"--config.{key}={value}" for key, value in options.items()]
    workdirs = (folder / f"tables{number}" for number in itertools.count())

    def ours() -> float:
        workdir = f"--workdir={next(workdirs)}"
        return children.run_module("experiments.tables", *flags, workdir).seconds

    words = f"Tables 1 and 2 of {audited}, sizes {sizes}, {seeds} seeds, from JPEG files"
    peer = Peer("5 minutes", lambda: _LIMIT, 1.0)
    return Race(words, "s", count, ours, [peer], turns=1, warm=False)
