"""Packs written by `miniatures.mxnet`, and one by MXNet itself, as random-access sources."""

import os
import pickle
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from miniatures import mxnet, photos

from data_pipelines import recordio
from data_pipelines.errors import InputError
from data_pipelines.recordio import RecordIOSource
from data_pipelines.sources import Subset, open_source


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def _jpeg(seed):
    return photos.jpeg(photos.photo(seed, 112, 112))


def _pixels(jpeg):
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def _pack(folder, people=(0, 0, 0, 1, 1, 2)):
    images = [(_jpeg(seed), who) for seed, who in enumerate(people)]
    return images, mxnet.insightface(folder / "train", images)


def _overwrite(path, at, data):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


@pytest.mark.parametrize("suffix", ["", ".rec", ".idx"])
def test_the_layout_of_insightface(tmp_path, suffix):
    images, _ = _pack(tmp_path)
    source = RecordIOSource(tmp_path / f"train{suffix}")
    assert len(source) == len(images)
    assert list(source.keys) == ["1", "2", "3", "4", "5", "6"]
    for row, (jpeg, who) in enumerate(images):
        item = source[row]
        np.testing.assert_array_equal(item.pop("image"), _pixels(jpeg))
        assert item == {
            "identity": who,
            "label": who,
            "key": str(row + 1),
            "database": tmp_path.name,
        }
        assert source.encoded(row) == jpeg
    assert source[-1]["key"] == "6"
    with pytest.raises(IndexError):
        source[6]
    assert source.identities.dtype == np.int64
    assert source.identities.tolist() == [0, 0, 0, 1, 1, 2]


def test_a_pack_of_mxnet(test_data):
    folder = test_data / "insightface" / "mxnet_lfw10"
    data, expected = (folder / "train.rec").read_bytes(), []
    for line in (folder / "train.idx").read_text().splitlines()[1:101]:
        at = int(line.split("\t")[1])
        length, flag, label = struct.unpack_from("<4xIIf", data, at)
        assert flag == 0
        expected.append((label, data[at + 32 : at + 8 + length]))
    source = open_source(folder / "train")
    assert len(source) == 100 and len(np.unique(source.identities)) == 10
    assert source.identities.tolist() == [label for label, _ in expected]
    for row, (label, jpeg) in enumerate(expected):
        item = source[row]
        assert (item["label"], item["key"]) == (label, str(row + 1))
        np.testing.assert_array_equal(item["image"], _pixels(jpeg))


@pytest.mark.parametrize("idx", [True, False])
def test_records_in_several_parts(tmp_path, idx):
    magic = mxnet.MAGIC
    payloads = [
        magic,
        magic * 3,
        b"abcd" + magic + b"e",
        b"ab" + magic + b"cdefg",
        b"abcd" + magic + magic + b"efgh" + magic,
        magic[:2] + magic + b"a" * 9,
    ]
    records = [(key, 0, key, payload) for key, payload in enumerate(payloads)]
    records += [(6, 2, (6, -1), magic + b"x"), (7, 1, (7,), b"yz" + magic)]
    mxnet.write(tmp_path / "list", records, idx)
    assert (tmp_path / "list.rec").read_bytes().count(magic) > len(records) + 5
    source = RecordIOSource(tmp_path / "list")
    assert [source.encoded(row) for row in range(len(source))] == [r[3] for r in records]
    assert source.identities.tolist() == list(range(8))


def test_the_magic_number_in_an_image(tmp_path):
    jpeg = _jpeg(0)
    comment = b"\xff\xfe" + struct.pack(">H", 2 + 18) + b"  " + mxnet.MAGIC * 4
    jpeg = jpeg[:2] + comment + jpeg[2:]
    mxnet.insightface(tmp_path / "train", [(jpeg, 0), (_jpeg(1), 0)])
    source = RecordIOSource(tmp_path / "train")
    assert source.encoded(0) == jpeg
    np.testing.assert_array_equal(source[0]["image"], _pixels(jpeg))


def test_plain_lists(tmp_path):
    """As `im2rec` writes them: all records are images, keys in any order, one label or more."""
    records = [
        (9, 0, 4, _jpeg(0)),
        (0, 2, (3, 8), _jpeg(1)),
        (5, 1, (4,), _jpeg(2)),
        (2**40, 0, 0, _jpeg(3)),
    ]
    mxnet.write(tmp_path / "faces", records)
    source = RecordIOSource(tmp_path / "faces")
    assert list(source.keys) == ["9", "0", "5", str(2**40)]
    assert source.identities.tolist() == [4, 3, 4, 0]
    for row, (key, _, _, jpeg) in enumerate(records):
        item = source[row]
        assert (item["key"], item["label"]) == (str(key), source.identities[row])
        np.testing.assert_array_equal(item["image"], _pixels(jpeg))


def test_an_image_that_looks_like_a_person_is_not_lost(tmp_path):
    """The last image has two labels and lost its bytes."""
    records = [(0, 2, (3, 4), b""), (1, 2, (5, 0), _jpeg(0)), (2, 2, (6, 0), b"")]
    mxnet.write(tmp_path / "train", [*records, (3, 2, (1, 3), b"")])
    source = RecordIOSource(tmp_path / "train")
    assert len(source) == 2 and source.identities.tolist() == [5, 6]
    with pytest.raises(InputError, match="record 2: it holds no image"):
        source[1]


def test_an_index_of_insightface_in_another_order(tmp_path):
    images, _ = _pack(tmp_path)
    lines = (tmp_path / "train.idx").read_text().splitlines()
    (tmp_path / "train.idx").write_text("\r\n".join(reversed(lines)))
    source = RecordIOSource(tmp_path / "train")
    assert [source.encoded(row) for row in range(6)] == [jpeg for jpeg, _ in images]
    assert list(source.keys) == ["1", "2", "3", "4", "5", "6"]


def test_records_that_are_no_images(tmp_path):
    nan = float("nan")
    good = _jpeg(0)
    records = [
        (10, 0, 1, good),
        (11, 0, 2, b""),
        (12, 0, 3, b"text"),
        (13, 0, nan, good),
        (14, 0, 2.5, good),
        (15, 0, -1, good),
        (16, 0, 4, good[:-200]),
        (17, 0, 1e20, good),
    ]
    offsets = mxnet.write(tmp_path / "list", records)
    _overwrite(tmp_path / "list.rec", offsets[12] + 8, struct.pack("<I", 1000))  # labels
    source = RecordIOSource(tmp_path / "list")
    for row, reason in enumerate(
        [
            "holds no image",
            "too short for its 1000 labels",
            "label nan is no number",
            "label 2.5 is",
            "label -1 is",
            "the JPEG is cut off",
            "label 1e.20 is",
        ],
        1,
    ):
        with pytest.raises(InputError, match=f"list.rec: record {row + 10}: .*{reason}"):
            source[row]
    assert source.sha256(1) is None
    few = [int(source.identities_of([row])[0]) for row in range(len(source))]
    identities = source.identities.tolist()
    assert few == identities
    assert [identities[row] for row in (0, 1, 6)] == [1, 2, 4]
    assert len({identities[row] for row in (2, 3, 4, 5, 7)} - {1, 2, 4}) == 5
    assert source[0]["label"] == 1


def test_a_missing_index_is_rebuilt(tmp_path, cache):
    (tmp_path / "a").mkdir()
    images, _ = _pack(tmp_path / "a")
    with_index = RecordIOSource(tmp_path / "a" / "train")
    (tmp_path / "a" / "train.idx").unlink()
    left = set((tmp_path / "a").iterdir())
    for _ in range(2):
        source = open_source(tmp_path / "a" / "train.rec")
        assert [source.encoded(row) for row in range(6)] == [jpeg for jpeg, _ in images]
        assert source.fingerprint() == with_index.fingerprint()
    assert set((tmp_path / "a").iterdir()) == left
    (kept,) = cache.rglob("*.npy")
    kept.write_bytes(kept.read_bytes()[:50])
    assert len(RecordIOSource(tmp_path / "a" / "train")) == 6
    mxnet.insightface(tmp_path / "a" / "train", images[:2])
    (tmp_path / "a" / "train.idx").unlink()
    assert len(RecordIOSource(tmp_path / "a" / "train")) == 2


@pytest.mark.parametrize("length", [None, 1 << 28, 6000, 40])
def test_a_scan_passes_over_damage(tmp_path, length):
    """A broken magic number, or a length that leads far away, over the next record, or short."""
    images, offsets = _pack(tmp_path)
    at = offsets[3]
    if length is None:
        _overwrite(tmp_path / "train.rec", at, b"XXXX")
    else:
        _overwrite(tmp_path / "train.rec", at + 4, struct.pack("<I", length))
    (tmp_path / "train.idx").unlink()
    source = RecordIOSource(tmp_path / "train")
    good, bad = {}, 0
    for row in range(len(source)):
        try:
            good[row] = source[row]["label"], source.encoded(row)
        except InputError:
            bad += 1
    expected = [(who, jpeg) for key, (jpeg, who) in enumerate(images, 1) if key != 3]
    assert list(good.values()) == expected
    assert bad >= 1


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "train.idx: it lists no records"),
        ("0\t0\n1\tx\n", "train.idx: '1.*x' is not a key"),
        ("0\t0\n1 44\n", "train.idx: '1 44' is not a key"),
        ("0\t0\n1\t44.5\n", "train.idx: '1.*44.5' is not a key"),
        ("0\t0\n1\t44\nend\n", "train.idx: 'end' is not a key"),
        ("\0\1\2", "train.idx: .* is not a key"),
        ("7" * (1 << 21), "train.idx: '7+' is not a key"),
        ("0\t0\n1\t-8\n", "train.idx: it lists an offset below 0"),
        ("0\t0\n1\t44\n2\t92\n", "train.idx: no record begins where it says"),
        ("0\t0\n1\t99999999\n2\t99999\n", "train.rec: 2 of 3 records reach past its end"),
    ],
)
def test_an_index_that_does_not_fit(tmp_path, text, reason):
    _pack(tmp_path)
    (tmp_path / "train.idx").write_text(text)
    with pytest.raises(InputError, match=reason):
        RecordIOSource(tmp_path / "train")


def test_keys_that_do_not_fit(tmp_path):
    _, offsets = _pack(tmp_path)

    def opened(keys):
        lines = [f"{key}\t{offset}\n" for key, offset in zip(keys, offsets.values())]
        (tmp_path / "train.idx").write_text("".join(lines))
        return RecordIOSource(tmp_path / "train")

    with pytest.raises(InputError, match="train.idx: record 2 is missing"):
        opened([0, 1, 3, 4, 5, 6, 7, 8, 9, 10])
    with pytest.raises(InputError, match="train.idx: record 3 is missing, or .* twice"):
        opened([0, 1, 2, 2, 4, 5, 6, 7, 8, 9])
    with pytest.raises(InputError, match="train.idx: key 7 is listed twice"):
        opened([1, 7, 5, 7, 9])
    with pytest.raises(
        InputError, match="idx: 5 records in it, and record 0 .* speaks of 6 images"
    ):
        opened([0, 1, 2, 3, 4])


def test_an_offset_inside_of_a_record(tmp_path):
    images, offsets = _pack(tmp_path)
    lines = [f"{key}\t{at + 4 * (key == 4)}\n" for key, at in offsets.items()]
    (tmp_path / "train.idx").write_text("".join(lines))
    source = RecordIOSource(tmp_path / "train")
    with pytest.raises(InputError, match=f"record 4: no record begins at byte {offsets[4] + 4}"):
        source[3]
    assert source[4]["label"] == 1


def test_a_download_that_was_cut_off(tmp_path):
    _, offsets = _pack(tmp_path)
    path = tmp_path / "train.rec"
    for size in (offsets[4] + 1000, offsets[4] + 4, offsets[4]):
        os.truncate(path, size)
        with pytest.raises(InputError, match="train.rec: 6 of 10 records reach past its end"):
            RecordIOSource(tmp_path / "train")
    os.truncate(path, offsets[3] + 1000)
    (tmp_path / "train.idx").unlink()
    with pytest.raises(InputError, match="train.rec: 1 of 4 records reach past its end"):
        RecordIOSource(tmp_path / "train")
    for content in (b"", b"no records" * 9):
        path.write_bytes(content)
        with pytest.raises(InputError, match="train.rec: no MXNet records"):
            RecordIOSource(tmp_path / "train")
    path.unlink()
    with pytest.raises(InputError, match="train.rec: No such file"):
        RecordIOSource(tmp_path / "train")


def test_a_damaged_record_0(tmp_path):
    _, offsets = _pack(tmp_path)
    _overwrite(tmp_path / "train.rec", 0, b"XXXX")
    with pytest.raises(InputError, match="train.rec: record 0: no record begins at byte 0"):
        RecordIOSource(tmp_path / "train")
    mxnet.write(tmp_path / "list", [(key, 0, key, _jpeg(key)) for key in range(3)])
    _overwrite(tmp_path / "list.rec", 0, b"XXXX")
    source = RecordIOSource(tmp_path / "list")
    assert source[1]["label"] == 1
    with pytest.raises(InputError, match="list.rec: record 0: no record"):
        source[0]


def test_identities_are_kept_and_items_do_not_need_them(tmp_path, cache):
    _pack(tmp_path)
    source = RecordIOSource(tmp_path / "train")
    assert source[3]["identity"] == 1
    assert Subset(source, [5, 3]).identities.tolist() == [2, 1]
    assert not list(cache.rglob("*"))
    assert source.identities.tolist() == [0, 0, 0, 1, 1, 2]
    (kept,) = cache.rglob("*.npy")
    np.save(kept, np.arange(6) + 7)
    assert RecordIOSource(tmp_path / "train").identities.tolist() == [7, 8, 9, 10, 11, 12]
    os.utime(tmp_path / "train.rec", ns=(1, 1))
    assert RecordIOSource(tmp_path / "train").identities.tolist() == [0, 0, 0, 1, 1, 2]


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    _pack(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "train.rec"))
    assert RecordIOSource(tmp_path / "train").identities.tolist() == [0, 0, 0, 1, 1, 2]


def test_threads_and_processes_share_a_source(tmp_path):
    images, _ = _pack(tmp_path)
    source = RecordIOSource(tmp_path / "train")
    rows = list(range(6)) * 50
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(source.encoded, rows)) == [images[row][0] for row in rows]
    assert len(source.identities) == 6
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy[4]["image"], source[4]["image"])
    assert copy.identities.tolist() == source.identities.tolist()


def test_fingerprints_differ(tmp_path):
    prints = set()
    for name, keys in {"a": (1, 2), "b": (2, 1), "c": (1, 3)}.items():
        (tmp_path / name).mkdir()
        mxnet.write(tmp_path / name / "train", [(key, 0, 0, _jpeg(0)) for key in keys])
        source = RecordIOSource(tmp_path / name / "train")
        source.database = "same"
        prints.add(source.fingerprint())
    assert len(prints) == 3


def _damage(rng, jpeg):
    """(what is written as the image, what happens to the record in the file)."""
    kind = rng.integers(6)
    if kind == 0:
        return jpeg[: rng.integers(1, len(jpeg) - 2)], None
    if kind == 1:
        return b"", None
    if kind == 2:
        return rng.bytes(rng.integers(1, 3000)), None
    if kind == 3:
        return jpeg, lambda at: (at + rng.integers(4), bytes([rng.integers(1, 10)]))
    if kind == 4:
        return jpeg, lambda at: (at + 4, struct.pack("<I", rng.integers(1 << 20, 1 << 32)))
    return jpeg, lambda at: (at, rng.bytes(len(jpeg) // 4 * 4))


@pytest.mark.parametrize(
    "count, damaged", [(120, 50), pytest.param(4000, 1000, marks=pytest.mark.full)]
)
def test_damage_is_told_record_by_record(tmp_path, count, damaged):
    rng = np.random.default_rng(count)
    bad = set(rng.choice(count, damaged, replace=False).tolist())
    jpegs, images, later = [_jpeg(seed) for seed in range(16)], [], {}
    for row in range(count):
        data = jpegs[row % 16]
        if row in bad:
            data, later[row] = _damage(rng, data)
        images.append((data, row // 10))
    offsets = mxnet.insightface(tmp_path / "train", images)
    for row, change in later.items():
        if change:
            _overwrite(tmp_path / "train.rec", *change(offsets[row + 1]))
    source, found = RecordIOSource(tmp_path / "train"), set()
    for row in range(count):
        try:
            item = source[row]
        except InputError as error:
            assert str(error).startswith(f"{tmp_path / 'train.rec'}: record {row + 1}: ")
            found.add(row)
        else:
            np.testing.assert_array_equal(item["image"], _pixels(jpegs[row % 16]))
            assert item["identity"] == source.identities[row] == row // 10
    assert found == bad


STRIDE, GLINT360K, RECORDS = 6400, 17_091_657, 17_451_890
ROUNDED = [GLINT360K - 1, GLINT360K, GLINT360K + 1]  # record 0 says 1 less, the truth, 1 more


def _write_sparse(prefix, images):
    """The records of a huge pack that tell how many images it has; the others are a hole."""
    last = RECORDS - 1
    person = mxnet.frames(mxnet.record(0, 2, (1, 2), b""))
    records = {0: mxnet.frames(mxnet.record(0, 2, (images + 1, RECORDS), b"")), last: person}
    for key in range(images - 5, images + 7):
        image = mxnet.frames(mxnet.record(key, 0, 360_231, _jpeg(0)))
        records[key] = image if key <= images else person
    with open(f"{prefix}.rec", "wb") as file:
        for key, data in records.items():
            file.seek(key * STRIDE)
            file.write(data)


@pytest.mark.parametrize("images", ROUNDED)
def test_the_number_of_images_beyond_float32(tmp_path, monkeypatch, images):
    index = range(RECORDS), np.arange(RECORDS) * STRIDE
    monkeypatch.setattr(recordio, "read_index", lambda path: index)
    _write_sparse(tmp_path / "train", images)
    (tmp_path / "train.idx").touch()
    source = RecordIOSource(tmp_path / "train")
    assert len(source) == images
    item = source[images - 1]
    assert (item["key"], item["label"]) == (str(images), 360_231)


def _index_lines(keys, offsets):
    """Lines of an .idx: digits in columns, without the zeros that numbers do not begin with."""
    columns, shown = [], []
    for numbers, width, end in ((keys, 8, "\t"), (offsets, 12, "\n")):
        powers = 10 ** np.arange(width)[::-1]
        columns += [numbers[:, None] // powers % 10 + ord("0"), np.full((len(keys), 1), ord(end))]
        shown += [
            numbers[:, None] >= np.where(powers > 1, powers, 0),
            np.full((len(keys), 1), True),
        ]
    return np.hstack(columns).astype(np.uint8)[np.hstack(shown)].tobytes()


@pytest.mark.full
def test_17_million_rows_open_in_bounded_memory(tmp_path):
    with open(tmp_path / "train.idx", "wb") as file:
        for begin in range(0, RECORDS, 1 << 18):
            keys = np.arange(begin, min(RECORDS, begin + (1 << 18)))
            file.write(_index_lines(keys, keys * STRIDE))
    _write_sparse(tmp_path / "train", GLINT360K)
    code = (
        "import sys; from data_pipelines.recordio import RecordIOSource\n"
        "source = RecordIOSource(sys.argv[1])\n"
        "print(len(source), source.keys[-1], source[len(source) - 1]['label'])\n"
        "peak = [line for line in open('/proc/self/status') if line.startswith('VmHWM')]\n"
        "print(peak[0].split()[1])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "train")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found, kilobytes = done.stdout.splitlines()
    assert found == f"{GLINT360K} {GLINT360K} 360231"
    assert int(kilobytes) < 500_000
