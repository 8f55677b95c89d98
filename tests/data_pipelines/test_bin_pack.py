"""InsightFace's .bin packs: written by both Pythons, real, damaged and malicious."""

import os
import pickle
import struct

import cv2
import numpy as np
import pytest
from miniatures import photos

from data_pipelines.bin_pack import BinPack
from data_pipelines.errors import InputError
from data_pipelines.sources import open_source

FLAGS = [True, False, True]
IDENTITIES = [0, 0, 2, 3, 4, 4]


@pytest.fixture(scope="module")
def jpegs():
    return [photos.jpeg(photos.photo(seed, 112, 112)) for seed in range(6)]


def _dump(folder, pack, protocol=None):
    path = folder / "faces.bin"
    path.write_bytes(pickle.dumps(pack, protocol))
    return path


def _pixels(jpeg):
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def _python2(jpegs, flags):
    """The pickle of (list of str, list of bool) that Python 2 writes with protocol 2."""
    images = b"".join(b"T" + struct.pack("<i", len(jpeg)) + jpeg for jpeg in jpegs)
    truths = b"".join(b"\x88" if flag else b"\x89" for flag in flags)
    return b"\x80\x02](" + images + b"e](" + truths + b"e\x86."


def _python2_array(jpeg):
    """A uint8 array as numpy pickled it under Python 2: every string is bytes."""
    size = struct.pack("<i", len(jpeg))
    return (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\1b\x87R(K\1J"
        + size
        + b"\x85cnumpy\ndtype\nU\2u1K\0K\1\x87R"
        + b"(K\3U\1|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89T"
        + size
        + jpeg
        + b"tb"
    )


def _check(source, jpegs):
    assert source.keys == ("00000", "00001", "00002", "00003", "00004", "00005")
    assert source.issame.dtype == bool and source.issame.tolist() == FLAGS
    assert source.identities.dtype == np.int64 and source.identities.tolist() == IDENTITIES
    for row, jpeg in enumerate(jpegs):
        assert source.encoded(row) == jpeg
        item = source[row]
        np.testing.assert_array_equal(item.pop("image"), _pixels(jpeg))
        assert item == {
            "identity": IDENTITIES[row],
            "key": f"{row:05d}",
            "database": "faces",
        }


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", [bytes, lambda jpeg: np.frombuffer(jpeg, np.uint8), np.bytes_])
def test_packs_of_python_3(tmp_path, jpegs, kind, protocol):
    pack = [kind(jpeg) for jpeg in jpegs], FLAGS
    _check(open_source(_dump(tmp_path, pack, protocol)), jpegs)


@pytest.mark.parametrize("flags", [np.array(FLAGS), list(np.array(FLAGS)), tuple(FLAGS)])
def test_flags_of_numpy(tmp_path, jpegs, flags):
    _check(BinPack(_dump(tmp_path, [tuple(jpegs), flags])), jpegs)


def test_packs_of_python_2(tmp_path, jpegs):
    path = tmp_path / "faces.bin"
    path.write_bytes(_python2(jpegs, FLAGS))
    _check(BinPack(path), jpegs)
    arrays = b"".join(map(_python2_array, jpegs))
    path.write_bytes(b"\x80\x02](" + arrays + b"e](\x88\x89\x88e\x86.")
    images, _ = pickle.loads(path.read_bytes(), encoding="bytes")
    np.testing.assert_array_equal(images[3], np.frombuffer(jpegs[3], np.uint8))
    _check(BinPack(path), jpegs)


def test_a_real_pack(test_data):
    path = test_data / "insightface" / "small_lfw.bin"
    images, issame = pickle.loads(path.read_bytes(), encoding="bytes")
    source = BinPack(path)
    assert source.database == "small_lfw"
    assert source.issame.tolist() == issame == [True] * 10
    assert source.identities.tolist() == [row // 2 * 2 for row in range(20)]
    for row, image in enumerate(images):
        np.testing.assert_array_equal(source[row]["image"], _pixels(bytes(image)))


class _Runs:
    def __init__(self, function, *arguments):
        self._call = function, arguments

    def __reduce__(self):
        return self._call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_code_is_not_run(tmp_path, jpegs, protocol):
    mark = tmp_path / "mark"
    attacks = {
        "mkdir": _Runs(os.mkdir, str(mark)),
        "eval": _Runs(eval, f"open({str(mark)!r}, 'w')"),
        "getattr": _Runs(getattr, "", "join"),
        "fromfile": _Runs(np.fromfile, "/dev/zero"),
        "bytearray": _Runs(bytearray, 1 << 40),
    }
    for name, attack in attacks.items():
        path = _dump(tmp_path, ([*jpegs, attack], FLAGS), protocol)
        with pytest.raises(InputError, match=f"faces.bin: it asks for .*{name}"):
            BinPack(path)
        assert not mark.exists()
    pickle.loads(pickle.dumps(attacks["mkdir"], protocol))
    assert mark.exists()


@pytest.mark.parametrize(
    "pack, reason",
    [
        ([b"", b""], "holds no list of images"),
        (([], []), "holds no list of images"),
        ([b""], "not a pair of a list"),
        (([b"", 5], [True]), "image 1 is not encoded bytes"),
        (([b"", None], [True]), "image 1 is not encoded bytes"),
        (([b"", np.zeros(3, np.float32)], [True]), "image 1 is not encoded bytes"),
        (([b"", b""], [2]), "neither true nor false"),
        (([b"", b""], True), "no list of flags"),
        (([b"", b""], [True, False]), "2 images and 2 flags"),
        (([b"", b"", b""], [True]), "3 images and 1 flags"),
    ],
)
def test_other_pickles(tmp_path, pack, reason):
    with pytest.raises(InputError, match=f"faces.bin: .*{reason}"):
        BinPack(_dump(tmp_path, pack))


def test_damaged_packs(tmp_path, jpegs):
    path = _dump(tmp_path, ([np.frombuffer(jpeg, np.uint8) for jpeg in jpegs], FLAGS))
    data = path.read_bytes()
    for end in range(0, len(data), 97):
        path.write_bytes(data[:end])
        with pytest.raises(InputError, match="faces.bin: not a pack of images, or a damaged"):
            BinPack(path)
    rng = np.random.default_rng(0)
    for _ in range(500):
        at = int(rng.integers(400))
        path.write_bytes(data[:at] + rng.bytes(3) + data[at + 3 :])
        try:
            source = BinPack(path)
        except InputError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
        else:
            assert len(source) == 6
    path.unlink()
    with pytest.raises(InputError, match="faces.bin: No such file"):
        BinPack(path)


def test_damaged_images(tmp_path, jpegs):
    images = [jpegs[0], b"", jpegs[2][:-90], b"text", jpegs[4], jpegs[5]]
    source = BinPack(_dump(tmp_path, (images, FLAGS)))
    for row, reason in enumerate(["is empty", "is cut off", "not an image"], 1):
        with pytest.raises(InputError, match=f"faces.bin: image 0000{row}: .*{reason}"):
            source[row]
    np.testing.assert_array_equal(source[4]["image"], _pixels(jpegs[4]))


def test_packs_travel_and_differ(tmp_path, jpegs):
    source = BinPack(_dump(tmp_path, (jpegs, FLAGS)))
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy[5]["image"], source[5]["image"])
    other = BinPack(_dump(tmp_path, (jpegs[::-1], FLAGS)))
    assert len({source.fingerprint(), copy.fingerprint(), other.fingerprint()}) == 2
