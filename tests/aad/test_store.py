"""The store of activations: what is in its files, interruptions, damage, refusals."""

import json
import resource
import struct

import ml_dtypes
import numpy as np
import pytest

from mint_jax import aad
from mint_jax.errors import InputError

ROWS, BATCH = 21, 4
SHAPES = {"conv1": (3, 3, 8), "outcome": (5,)}
BAD = {6: ("b/6.jpg", "the file is empty"), 20: ("ü/20.jpg", "the JPEG is cut off")}
RECORD = {
    "model_sha256": "ab" * 32,
    "model_name": "a network",
    "source_fingerprint": "cd" * 32,
    "rows": ROWS,
    "layers": SHAPES,
    "reduce": "map",
    "per_device_batch": BATCH,
    "shard_bytes": 8 * 72 * 4,  # shards of 8, 8 and 5 rows
}


@pytest.fixture
def values():
    rng = np.random.default_rng(0)
    found = {layer: rng.normal(size=(ROWS, *s)).astype(np.float32) for layer, s in SHAPES.items()}
    for array in found.values():
        array[list(BAD)] = 0
    return found


def create(base, **changes):
    return aad.create_or_open_store(base, **RECORD | changes)


def fill(store, values, shards=None, *, close=True):
    """Writes shards as an extraction does, batch by batch."""
    writer = aad.Writer(store)
    for shard in store.pending() if shards is None else shards:
        begin, end = store.span(shard)
        for at in range(begin, end, BATCH):
            rows = np.arange(at, min(at + BATCH, end))
            good = rows[~np.isin(rows, list(BAD))]
            bad = {row: BAD[row] for row in rows.tolist() if row in BAD}
            writer.add(good, {layer: array[good] for layer, array in values.items()}, bad)
    if close:
        writer.close()
    return store


def files(folder):
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def decode_shard(data, chunks):
    """The chunks of a shard, as the Zarr v3 specification of `sharding_indexed` lays them out."""
    index = struct.unpack(f"<{2 * chunks}Q", data[-16 * chunks - 4 : -4])
    pairs = zip(index[::2], index[1::2], strict=True)
    return [data[at : at + size - 4] for at, size in pairs if at != 2**64 - 1]  # 4: the checksum


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_files_hold_the_values(tmp_path, values, dtype):
    numpy_dtype = np.dtype(np.float32 if dtype == "float32" else ml_dtypes.bfloat16)
    fill(create(tmp_path, dtype=dtype, shard_bytes=8 * 72 * numpy_dtype.itemsize), values)
    for layer, shape in SHAPES.items():
        described = json.loads((tmp_path / layer / "zarr.json").read_text())
        assert (described["shape"], described["data_type"]) == ([ROWS, *shape], dtype)
        tail = "/".join("0" * len(shape))
        shards = [(tmp_path / layer / f"c/{k}" / tail).read_bytes() for k in range(3)]
        found = b"".join(b"".join(decode_shard(shard, 1)) for shard in shards)
        stored = np.frombuffer(found, numpy_dtype).reshape(24, *shape)
        np.testing.assert_array_equal(stored[:ROWS], values[layer].astype(numpy_dtype))
        assert not stored[ROWS:].any()
    assert len(list((tmp_path / "done").iterdir())) == 3


def test_chunks_are_small_where_rows_are_large(tmp_path):
    store = create(tmp_path, layers={"conv1": (56, 56, 64)}, shard_bytes=64 << 20)
    assert store.shard_rows == 64
    values = np.random.default_rng(0).normal(size=(ROWS, 56, 56, 64)).astype(np.float32)
    values[list(BAD)] = 0
    fill(store, {"conv1": values})
    chunks = decode_shard((tmp_path / "conv1/c/0/0/0/0").read_bytes(), 64)
    assert chunks == [row.tobytes() for row in values]


@pytest.mark.parametrize("base", ["folder", "memory://test_rows"])
def test_rows_are_read_in_any_order(tmp_path, values, base):
    base = base if "://" in base else tmp_path / base
    fill(create(base), values)
    store = aad.open_store(base)
    assert (store.complete, store.bad, store.reduce) == (True, BAD, "map")
    assert store.layers == SHAPES and list(store.layers) == list(SHAPES)
    assert (store.rows, store.model_name) == (ROWS, "a network")
    assert (store.model_sha256, store.source_fingerprint) == ("ab" * 32, "cd" * 32)
    for rows in ([20, 0, 7, 8, 8, 6], np.arange(ROWS)[::-1], []):
        for layer in SHAPES:
            found = store.read(layer, rows)
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, values[layer][np.asarray(rows, int)])


def test_bfloat16_is_read_as_float32(tmp_path, values):
    store = fill(create(tmp_path, dtype="bfloat16"), values)
    found = store.read("outcome", [3, 1])
    expected = values["outcome"][[3, 1]].astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("devices", "shape", "rows"),
    [(16, (512,), 4096), (12, (512,), 3072), (2048, (512,), 8192), (4, (56, 56, 64), 64)],
)
def test_a_shard_is_a_power_of_two_times_the_batch(devices, shape, rows):
    base = f"memory://test_shards/{devices}"
    store = create(base, devices=devices, layers={"conv1": shape}, shard_bytes=64 << 20)
    assert store.shard_rows == rows
    again = create(base, devices=1, layers={"conv1": shape}, shard_bytes=1 << 10)
    assert again.shard_rows == rows  # of a store that exists it is what it was


def test_what_a_killed_process_leaves_does_no_harm(tmp_path, values):
    fill(create(tmp_path / "clean"), values)
    store = fill(create(tmp_path / "killed"), values, [0], close=False)
    assert store.pending() == [0, 1, 2]  # its mark is written with the next shard
    other = tmp_path / "killed"
    names = ["store.json", "done/00000002.json", "conv1/zarr.json", "conv1/c/2/0/0/0"]
    for name in [*names, "outcome/c/1/0"]:
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        (other / f"{name}_1f2e3d.__lock").write_bytes(b"x" * 100_000)
    for name in ("conv1/c/2/0/0/0", "conv1/c/1/0/0/0"):
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        (other / name).write_bytes(b"y" * 100_000)
    fill(create(other), values)
    assert files(other) == files(tmp_path / "clean")


def test_a_store_that_is_complete_is_cleaned_when_it_is_opened(tmp_path, values):
    fill(create(tmp_path), values)
    before = files(tmp_path)
    (tmp_path / "outcome" / "zarr.json_1f2e3d.__lock").write_bytes(b"{")
    assert create(tmp_path).pending() == []
    assert files(tmp_path) == before


def test_processes_write_their_own_shards(tmp_path, values):
    fill(create(tmp_path / "one"), values)
    for index in (1, 0):
        store = create(tmp_path / "two")
        fill(store, values, store.pending(index, 2))
        assert store.complete == (index == 0)
        assert store.pending(index, 2) == []
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_rows_that_are_not_there_yet(tmp_path, values):
    store = fill(create(tmp_path), values, [0, 2])
    assert not store.complete and store.pending() == [1]
    np.testing.assert_array_equal(store.read("outcome", [20, 7]), values["outcome"][[20, 7]])
    with pytest.raises(InputError, match="rows 8 to 15 are not extracted yet"):
        store.read("outcome", [0, 9])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_sha256": "ef" * 32}, f"another audited model: {'ab' * 32}, not {'ef' * 32}"),
        ({"source_fingerprint": "0"}, "other images"),
        ({"rows": 22}, "number of images: 21, not 22"),
        ({"layers": {"conv1": (3, 3, 8)}}, "other layers"),
        ({"reduce": "max"}, "another reduction: map, not max"),
        ({"dtype": "bfloat16"}, "another type: float32, not bfloat16"),
        ({"per_device_batch": 2}, "another per_device_batch.*: 4, not 2"),
    ],
)
def test_a_store_of_something_else_is_refused(tmp_path, change, message):
    create(tmp_path)
    before = files(tmp_path)
    with pytest.raises(InputError, match=message):
        create(tmp_path, **change)
    assert files(tmp_path) == before
    assert create(tmp_path, layers=dict(reversed(SHAPES.items()))).pending() == [0, 1, 2]


def test_bad_requests(tmp_path, values):
    store = fill(create(tmp_path / "store"), values)
    for rows in ([ROWS], [-1]):
        with pytest.raises(InputError, match=f"of {ROWS}"):
            store.read("conv1", rows)
    with pytest.raises(InputError, match="no layer 'conv2'; it has conv1, outcome"):
        store.read("conv2", [0])
    with pytest.raises(InputError, match="float32, bfloat16"):
        create(tmp_path / "other", dtype="float16")
    for base in (tmp_path, tmp_path / "nothing", "memory://test_nothing"):
        with pytest.raises(InputError, match="store.json is missing"):
            aad.open_store(base)
    with pytest.raises(InputError, match="nowhere://a: not a place for a store"):
        aad.open_store("nowhere://a")
    (tmp_path / "store.json").write_text("{}")
    with pytest.raises(InputError, match="does not describe a store"):
        aad.open_store(tmp_path)
    (tmp_path / "store.json").write_text("{")
    with pytest.raises(InputError, match="store.json is damaged"):
        aad.open_store(tmp_path)


def test_damaged_and_lost_files_are_errors(tmp_path, values):
    store = fill(create(tmp_path), values)
    path = tmp_path / "outcome" / "c/1/0"
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(data)
    np.testing.assert_array_equal(store.read("outcome", [7]), values["outcome"][[7]])
    with pytest.raises(InputError, match="cannot be read.*outcome/c/1/0"):
        store.read("outcome", [8])
    path.unlink()
    with pytest.raises(InputError, match="cannot be read.*outcome/c/1/0"):
        store.read("outcome", [8])


def test_a_full_disk_is_one_line_and_the_store_goes_on(tmp_path, values):
    fill(create(tmp_path / "clean"), values)
    store = fill(create(tmp_path / "full"), values, [0])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(InputError, match="full: cannot be written.*File too large") as error:
            fill(store, values)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(error.value)
    store = create(tmp_path / "full")
    assert store.pending() == [1, 2]
    fill(store, values)
    assert files(tmp_path / "full") == files(tmp_path / "clean")


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match="file: cannot be .*: Not a directory") as error:
        create(tmp_path / "file")
    assert "\n" not in str(error.value)
