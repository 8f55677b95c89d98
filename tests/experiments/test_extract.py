"""Extraction of a whole source: kills, damaged images, full disks, processes, the command."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_pipelines.databases.image_folder import ImageFolder
from data_pipelines.databases.synthetic_faces import SyntheticFaces
from data_pipelines.errors import InputError as DataError
from experiments import extraction
from experiments.configs import extract as extract_config
from mint_jax import aad, audited
from mint_jax.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
SPEC = "iresnet18:random=0,width=0.0625,embedding_size=16,input_size=28"
BATCH = 4
SHARDS = {"per_device_batch": BATCH, "shard_bytes": 8 * 32 * 4}  # conv4 is 32 wide: 8 rows


@pytest.fixture(scope="module")
def model():
    return audited.load(SPEC)


@pytest.fixture(scope="module", autouse=True)
def programs():
    """Compiles a program once, not for every extraction."""
    make, made = aad.make_extractor, {}

    def reuse(model, layers, reduce="max", per_device_batch=32, dtype="float32"):
        key = model.sha256, tuple(layers), reduce, per_device_batch, dtype
        if key not in made:
            made[key] = make(model, layers, reduce, per_device_batch, dtype)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aad, "make_extractor", reuse)
        yield


def write_photos(folder, count):
    folder.mkdir()
    rng = np.random.default_rng(7)
    for i in range(count):
        photo = cv2.resize(rng.integers(0, 256, (16, 16, 3)).astype(np.uint8), (112, 112))
        cv2.imwrite(str(folder / f"{i:05d}.jpg"), photo)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos") / "photos", 45)


@pytest.fixture(scope="module")
def clean(model, photos, tmp_path_factory):
    """A store of all layers' maxima that nothing interrupted."""
    base = tmp_path_factory.mktemp("clean") / "store"
    extraction.extract_source(model, ImageFolder(photos), base, **SHARDS)
    return base


def files(folder):
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def pixels(folder):
    paths = sorted(folder.iterdir())
    return np.stack([cv2.imread(str(path), cv2.IMREAD_COLOR_RGB) for path in paths])


class Unreadable(ImageFolder):
    """A source of which no image may be read."""

    def encoded(self, row):
        raise AssertionError(f"row {row} was read")


@pytest.mark.parametrize("reduce", ["max", "map"])
def test_rows_are_the_activations_of_their_images(model, photos, tmp_path, reduce):
    tally = extraction.extract_source(
        model, ImageFolder(photos), tmp_path, reduce=reduce, per_device_batch=BATCH
    )
    assert (tally.read, tally.kept, tally.bad) == (45, 0, 0)
    store = aad.open_store(tmp_path)
    assert store.complete and tuple(store.layers) == model.layers
    assert store.shard_rows % BATCH == 0
    images = pixels(photos)
    expected = aad.make_extractor(model, model.layers, reduce, BATCH)(images)
    for layer in model.layers:
        np.testing.assert_array_equal(store.read(layer, np.arange(45)), expected[layer])


def test_a_synthetic_database_in_memory_and_bfloat16(model):
    source = SyntheticFaces("studio", 0, 3, 2)
    base = "memory://test_extract"
    extraction.extract_source(model, source, base, dtype="bfloat16", per_device_batch=BATCH)
    images = np.stack([source[row]["image"] for row in range(6)])
    expected = aad.make_extractor(model, model.layers, "max", BATCH)(images)["conv2"]
    found = aad.open_store(base).read("conv2", np.arange(6))
    np.testing.assert_allclose(found, expected, rtol=2**-8)
    assert not np.array_equal(found, expected)


def test_a_second_run_reads_no_image(model, photos, clean):
    before = files(clean)
    times = {path: path.stat().st_mtime_ns for path in clean.rglob("*")}
    tally = extraction.extract_source(model, Unreadable(photos), clean, **SHARDS)
    assert (tally.read, tally.kept, tally.bad) == (0, 45, 0)
    assert files(clean) == before
    assert {path: path.stat().st_mtime_ns for path in clean.rglob("*")} == times


def test_only_shards_that_are_missing_are_read(model, photos, clean, tmp_path):
    read = []

    class Counted(ImageFolder):
        def encoded(self, row):
            read.append(row)
            return super().encoded(row)

    extraction.extract_source(model, ImageFolder(photos), tmp_path, **SHARDS)
    for shard in (1, 5):
        (tmp_path / "done" / f"{shard:08d}.json").unlink()
    told = []
    on_shard = lambda *shard: told.append(shard)  # noqa: E731
    tally = extraction.extract_source(model, Counted(photos), tmp_path, **SHARDS, on_shard=on_shard)
    assert [count for count, _ in told] == [40, 45]
    assert all(x["images_per_second"] > 0 and x["bad"] == 0 for _, x in told)
    assert all(0 <= x["waiting"] <= 1 for _, x in told) and 0 <= tally.waiting <= 1
    assert sorted(read) == [*range(8, 16), *range(40, 45)]
    assert (tally.read, tally.kept) == (13, 32)
    assert files(tmp_path) == files(clean)


def test_two_processes_give_the_directory_of_one(model, photos, clean, tmp_path):
    source = ImageFolder(photos)
    for index in (1, 0):
        share = {"process_index": index, "process_count": 2}
        tally = extraction.extract_source(model, source, tmp_path, **SHARDS, **share)
        assert (tally.read, tally.kept) == ((21, 0) if index else (24, 0))
    assert files(tmp_path) == files(clean)


def test_something_else_is_refused(model, photos, clean, tmp_path):
    def refused(message, network=model, source=photos, **changes):
        with pytest.raises((InputError, DataError), match=message):
            extraction.extract_source(network, ImageFolder(source), clean, **SHARDS | changes)

    refused("another audited model", audited.randomised(model, 1))
    refused("other images", source=write_photos(tmp_path / "others", 45))
    refused("other layers", layers=["conv1"])
    refused("another reduction", reduce="map")
    refused("another type", dtype="bfloat16")
    refused("all_conv is not stored", layers=["all_conv"])
    refused("has no layer 'conv9'", layers=["conv9"])


DAMAGE = {
    "the file is empty": lambda data: b"",
    "the JPEG is cut off": lambda data: data[: len(data) // 2],
    "not an image that can be decoded": lambda data: b"no JPEG" + data[7:],
}


def check_damaged(model, tmp_path, count, damaged):
    """A source with damaged images gives what the same source without damage gives."""
    folder = write_photos(tmp_path / "photos", count)
    names = [path.name for path in sorted(folder.iterdir())]
    options = SHARDS | {"shard_bytes": 32 * 32 * 4}
    extraction.extract_source(model, ImageFolder(folder), tmp_path / "clean", **options)
    rows = np.sort(np.random.default_rng(3).choice(count, damaged, replace=False)).tolist()
    reasons = {row: list(DAMAGE)[i % len(DAMAGE)] for i, row in enumerate(rows)}
    for row, reason in reasons.items():
        path = folder / names[row]
        path.write_bytes(DAMAGE[reason](path.read_bytes()))
    tally = extraction.extract_source(model, ImageFolder(folder), tmp_path / "damaged", **options)
    assert (tally.read, tally.bad) == (count, damaged)
    store = aad.open_store(tmp_path / "damaged")
    assert store.bad == {row: (names[row], reasons[row]) for row in rows}
    good = np.setdiff1d(np.arange(count), rows)
    for layer in model.layers:
        assert not store.read(layer, rows).any()
        expected = aad.open_store(tmp_path / "clean").read(layer, good)
        np.testing.assert_array_equal(store.read(layer, good), expected)


def test_damaged_images_are_recorded_and_shift_nothing(model, tmp_path):
    check_damaged(model, tmp_path, 300, 60)


@pytest.mark.full
def test_a_thousand_damaged_images(model, tmp_path):
    check_damaged(model, tmp_path, 3000, 1000)


def test_a_full_disk(model, photos, clean, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (900, limits[1]))
    try:
        with pytest.raises(InputError, match="cannot be written.*File too large") as error:
            extraction.extract_source(model, ImageFolder(photos), tmp_path, **SHARDS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(error.value).startswith(f"{tmp_path}: ") and "\n" not in str(error.value)
    extraction.extract_source(model, ImageFolder(photos), tmp_path, **SHARDS)
    assert files(tmp_path) == files(clean)


# Imports once, then forks a process for each attempt, which starts JAX by itself.
KILLS = """
import os, random, select, signal, sys, time
import jax
from data_pipelines.databases.image_folder import ImageFolder
from experiments import extraction
from mint_jax import audited

spec, photos, base, cache, kills, span, batch, shard_bytes = sys.argv[1:]
jax.config.update("jax_compilation_cache_dir", cache)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
choose = random.Random(0)


class Slow(ImageFolder):
    def encoded(self, row):
        os.write(alive, b".")
        time.sleep(0.004)
        return super().encoded(row)


killed = 0
while True:
    seen, alive = os.pipe()
    child = os.fork()
    if not child:
        sys.stderr = open(os.devnull, "w")
        extraction.extract_source(
            audited.load(spec), Slow(photos), base,
            per_device_batch=int(batch), shard_bytes=int(shard_bytes),
        )
        os._exit(0)
    os.close(alive)
    if killed < int(kills):
        os.read(seen, 1)
        time.sleep(choose.uniform(0, float(span)))
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    os.close(seen)
    if status == 0:
        break
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status
    killed += 1
print(killed)
"""


def check_kills(model, tmp_path, *, count, kills, span):
    """Kills at random moments, counted from the first image that is read."""
    photos = write_photos(tmp_path / "photos", count)
    extraction.extract_source(model, ImageFolder(photos), tmp_path / "clean", **SHARDS)
    arguments = [SPEC, photos, tmp_path / "killed", tmp_path / "cache", kills, span]
    done = subprocess.run(
        [sys.executable, "-c", KILLS, *map(str, [*arguments, *SHARDS.values()])],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == kills
    assert files(tmp_path / "killed") == files(tmp_path / "clean")


def test_kills_leave_no_trace(model, tmp_path):
    check_kills(model, tmp_path, count=120, kills=3, span=0.1)


@pytest.mark.full
def test_twenty_kills_leave_no_trace(model, tmp_path):
    check_kills(model, tmp_path, count=1600, kills=20, span=0.3)


def create_for_three_devices(model, photos, base):
    """An empty store whose shards of 12 rows two devices cannot fill in steps of 8."""
    aad.create_or_open_store(
        base,
        model_sha256=model.sha256,
        model_name=model.name,
        source_fingerprint=ImageFolder(photos).fingerprint(),
        rows=45,
        layers={"conv1": (4,), "conv2": (8,), "conv3": (16,), "conv4": (32,), "outcome": (16,)},
        reduce="max",
        per_device_batch=BATCH,
        devices=3,
        shard_bytes=0,
    )


def command(workdir, photos, devices):
    """Starts the command; XLA has as many threads on any number of devices."""
    flags = {
        "config": f"experiments/configs/extract.py:images={photos}",
        "config.audited": SPEC,
        "config.per_device_batch": BATCH,
        "workdir": workdir,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.extract"]
        + [f"--{name}={value}" for name, value in flags.items()],
        cwd=ROOT,
        env={
            **os.environ,
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
            "NPROC": "4",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("devices", "of_three"),
    [
        (2, False),
        pytest.param(4, False, marks=pytest.mark.full),
        pytest.param(2, True, marks=pytest.mark.full),
    ],
)
def test_the_command_on_several_devices(model, photos, clean, tmp_path, devices, of_three):
    runs = {}
    for count in (1, devices):
        if of_three:
            create_for_three_devices(model, photos, tmp_path / f"{count}" / "aad")
        runs[count] = command(tmp_path / f"{count}", photos, count)
    for count, run in runs.items():
        _, errors = run.communicate()
        assert run.returncode == 0, errors
        last = errors.splitlines()[-1]
        assert last.startswith(f"{tmp_path / str(count) / 'aad'}: 45 images, 0 bad ones; ")
        assert "images/s; the devices waited for images " in last and last.endswith("% of the time")
    assert files(tmp_path / "1" / "aad") == files(tmp_path / f"{devices}" / "aad")
    store = aad.open_store(tmp_path / f"{devices}" / "aad")
    assert store.complete and store.shard_rows == (12 if of_three else 4096)
    for layer in model.layers:
        rows = np.arange(45)
        expected = aad.open_store(clean).read(layer, rows)
        np.testing.assert_allclose(store.read(layer, rows), expected, rtol=1e-4, atol=1e-4)


def test_configurations(photos, tmp_path):
    config = extract_config.get_config(f"images={photos},layers=conv2;conv1,quality=90")
    assert config.layers == ("conv2", "conv1")
    with pytest.raises(DataError, match="extract.py needs audited="):
        extraction.run(config, tmp_path)
    config.audited, config.store = SPEC, "memory://test_configurations"
    assert extraction.run(config, tmp_path).read == 45
    assert list(aad.open_store(config.store).layers) == ["conv2", "conv1"]
    config.quality = 80
    with pytest.raises(InputError, match="prepared otherwise"):
        extraction.run(config, tmp_path)
