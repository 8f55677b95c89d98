"""TFDS datasets of every database: what was read is what is read back, and interrupted builds."""

import io
import json
import pickle
import signal
import subprocess
import sys
import textwrap

import cv2
import numpy as np
import pytest
from miniatures import adience, fddb, gandiffface, ijbc, mxnet
from miniatures.photos import encode, jpeg, photo
from PIL import Image

from data_pipelines.bin_pack import BinPack
from data_pipelines.databases import READERS, builders, columns
from data_pipelines.databases.adience import Adience
from data_pipelines.databases.builders import build
from data_pipelines.databases.built import Built, datasets, open_built, quarantine
from data_pipelines.databases.fddb import Fddb
from data_pipelines.databases.gandiffface import GANDiffFace
from data_pipelines.databases.ijbc import Ijbc
from data_pipelines.databases.image_folder import ImageFolder
from data_pipelines.databases.synthetic_faces import SyntheticFaces
from data_pipelines.errors import InputError
from data_pipelines.faces import Faces

LANDMARKS = np.array([[60, 70], [110, 72], [85, 100], [65, 125], [107, 126]], np.float32)


def one_face(image):
    """A detector that sees a face in every photo that is not black."""
    n = int(image.any())
    box = np.float32([0, 0, image.shape[1], image.shape[0]])
    return Faces(np.tile(box, (n, 1)), np.tile(LANDMARKS, (n, 1, 1)), np.ones(n, np.float32))


def crop(seed):
    return jpeg(photo(seed, 112, 112))


def loose(seed):
    return jpeg(photo(seed, 180, 170))


def write_ijbc(root):
    rows = [(loose(i), LANDMARKS + i, i // 2, i) for i in range(4)] + [(crop(9), LANDMARKS, 3, 9)]
    ijbc.write(root, rows)
    return Ijbc


def write_fddb(root):
    first, second = (55.0, 50.0, 1.5, 200.0, 190.0), (60.0, 50.0, 1.4, 310.0, 280.0)
    faces = [("2002/07/19/big/img_130", jpeg(photo(0, 400, 420)), [first, second])]
    fddb.write(root, {1: faces, 2: [("2002/07/19/big/img_2", crop(1), [first])]})
    return Fddb


def write_gandiffface(root):
    png = encode(Image.fromarray(photo(5, 112, 112)), "PNG")
    gandiffface.write(root, {"Asian_Male/1": [crop(0), png], "White_Male/7": [loose(1)]})
    return GANDiffFace


def write_adience(root):
    rows = [(i, "u@N0", f"{i}ß.jpg", i // 2, {"aligned": loose(i)}) for i in range(4)]
    rows.append((4, "u@N0", "x.jpg", 9, {"aligned": crop(8)}))
    adience.write(root, rows, crops=["aligned"])
    return Adience


def write_image_folder(root):
    (root / "ärger 人").mkdir(parents=True)
    (root / "ärger 人" / "a.jpg").write_bytes(crop(1))
    (root / "b.jpg").write_bytes(crop(2))
    (root / "c.jpg").write_bytes(loose(3))
    return ImageFolder


def write_glint360k(root):
    root.mkdir()
    images = [(crop(i), i // 2) for i in range(4)] + [(loose(4), 2)]
    mxnet.insightface(root / "train", images)
    (root / "property").unlink()
    return READERS["glint360k"]


def write_bin_pack(root):
    root.write_bytes(pickle.dumps(([crop(0), loose(1), crop(2), crop(3)], [True, False])))
    return BinPack


WRITERS = {
    "adience": write_adience,
    "bin_pack": write_bin_pack,
    "fddb": write_fddb,
    "gandiffface": write_gandiffface,
    "glint360k": write_glint360k,
    "ijbc": write_ijbc,
    "image_folder": write_image_folder,
}


def same_faces(built, source):
    assert tuple(built.keys) == tuple(source.keys) and built.database == source.database
    np.testing.assert_array_equal(built.identities, source.identities)
    assert built.identities.dtype == np.int64
    for row in range(len(source)):
        found, expected = built[row], source[row]
        expected.pop("label", None)  # of InsightFace's packs
        np.testing.assert_array_equal(found.pop("image"), expected.pop("image"))
        assert found == expected


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("quality", [None, 70])
def test_what_was_read_is_what_is_read_back(name, quality, tmp_path):
    reader = WRITERS[name](tmp_path / "database")
    source = reader(tmp_path / "database", detector=one_face, quality=quality)
    folder = build(source, tmp_path / "tfds")
    assert folder.parts[-3] == name and quarantine(folder) == []
    built = open_built(folder)
    same_faces(built, source)
    kept = 0
    for row in range(len(source)):
        data = source.encoded(row)
        if Image.open(io.BytesIO(data)).size == (112, 112) and quality is None:
            assert built.encoded(row) == data
            kept += 1
        else:
            kind = Image.open(io.BytesIO(built.encoded(row))).format
            assert kind == ("PNG" if quality is None else "JPEG")
    assert kept or quality
    assert build(source, tmp_path / "tfds") == folder


def test_synthetic_faces(tmp_path):
    source = SyntheticFaces(identities=2, images_per_identity=2)
    same_faces(open_built(build(source, tmp_path)), source)


def test_features(tmp_path):
    """Through TFDS's own reader: splits, landmarks in pixels of the face, unknown ones NaN."""
    import tensorflow_datasets as tfds

    write_ijbc(tmp_path / "ijbc")
    write_adience(tmp_path / "adience")
    folder = build(Ijbc(tmp_path / "ijbc"), tmp_path / "tfds")
    records = tfds.builder_from_directory(folder).as_data_source("faces")
    template = [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655],
                [70.7299, 92.2041]]  # fmt: skip
    assert np.abs(records[0]["landmarks"] - template).max() < 6  # the template is fitted, not met
    image = cv2.imdecode(np.frombuffer(loose(0), np.uint8), cv2.IMREAD_COLOR_RGB)
    matrix, _ = cv2.estimateAffinePartial2D(LANDMARKS, records[0]["landmarks"])
    warped = cv2.warpAffine(image, matrix, (112, 112))
    assert np.abs(warped.astype(int) - records[0]["image"]).max() <= 2
    np.testing.assert_array_equal(records[4]["landmarks"], LANDMARKS)
    assert records[4]["identity"] == 2 and records[4]["database"] == b"ijbc"
    folder = build(Adience(tmp_path / "adience", detector=one_face), tmp_path / "tfds")
    records = tfds.builder_from_directory(folder).as_data_source("faces")
    assert [record["split"] for record in records] == [f"fold_{i}".encode() for i in range(5)]
    assert np.isnan(records[0]["landmarks"]).all()
    folder = build(Ijbc(tmp_path / "ijbc", align="never"), tmp_path / "tfds")
    records = tfds.builder_from_directory(folder).as_data_source("faces")
    expected = (LANDMARKS + 0.5) * [112 / 170, 112 / 180] - 0.5
    np.testing.assert_allclose(records[0]["landmarks"], expected, atol=1e-3)


def write_damaged(root):
    """Readable and unreadable files of every kind; returns the readable ones' names."""
    root.mkdir()
    small = Image.fromarray(photo(0, 112, 112))
    turned = Image.Exif()
    turned[0x0112] = 6
    deep = np.full((112, 112), 40_000, np.uint16)
    good = {
        "cmyk.jpg": encode(small.convert("CMYK"), "JPEG"),
        "grey.png": encode(small.convert("L"), "PNG"),
        "deep.png": encode(Image.fromarray(deep), "PNG"),
        "turned.jpg": encode(small, "JPEG", exif=turned),
        "naïve 人.jpg": crop(1),
        "latin \udce4.jpg": crop(4),  # the byte 0xe4, which is no UTF-8
    }
    bad = {
        "a_empty.jpg": b"",
        "cut.jpg": crop(2)[:-300],
        "dark.png": encode(Image.new("RGB", (90, 90)), "PNG"),
        "text.jpg": b"<html>not found</html>",
    }
    for name, data in (good | bad).items():
        (root / name).write_bytes(data)
    return good, bad


def test_bad_images_are_quarantined(tmp_path):
    good, bad = write_damaged(tmp_path / "photos")
    source = ImageFolder(tmp_path / "photos", detector=one_face)
    folder = build(source, tmp_path / "tfds")
    reasons = {entry["key"]: entry["reason"] for entry in quarantine(folder)}
    assert reasons.keys() == bad.keys()
    assert reasons["a_empty.jpg"] == "the file is empty"
    assert reasons["cut.jpg"] == "the JPEG is cut off"
    assert reasons["dark.png"] == "no face was found"
    assert "not an image" in reasons["text.jpg"]
    built = open_built(folder)
    assert list(built.keys) == sorted(good)
    rows = {key: row for row, key in enumerate(source.keys)}
    for row, key in enumerate(built.keys):
        assert built.encoded(row) == good[key]
        assert built.identities[row] == source.identities[rows[key]]
        np.testing.assert_array_equal(built[row]["image"], source[rows[key]]["image"])


def test_nothing_readable(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"")
    message = "photos: none of its 1 images can be read, such as a.jpg: the file is empty"
    with pytest.raises(InputError, match=message):
        build(ImageFolder(tmp_path / "photos"), tmp_path / "tfds")
    assert datasets(tmp_path / "tfds") == []
    assert not list((tmp_path / "tfds").rglob("incomplete.*"))


def write_many(root, n):
    root.mkdir()
    for i in range(n):
        (root / f"{i:03d}.jpg").write_bytes(crop(i))


def test_many_files_and_one_without_images(tmp_path, monkeypatch):
    monkeypatch.setattr(builders, "_SHARD", 3)
    write_many(tmp_path / "photos", 11)
    for i in (3, 4, 5, 7):
        (tmp_path / "photos" / f"{i:03d}.jpg").write_bytes(b"")
    folder = build(ImageFolder(tmp_path / "photos"), tmp_path / "tfds")
    assert len(list(folder.glob("*.array_record*"))) == 4
    assert [entry["key"][:3] for entry in quarantine(folder)] == ["003", "004", "005", "007"]
    built = open_built(folder)
    kept = [0, 1, 2, 6, 8, 9, 10]
    assert [built.encoded(row) for row in range(7)] == [crop(i) for i in kept]
    assert built.identities.tolist() == kept


def test_another_preparation_is_another_dataset(tmp_path):
    write_many(tmp_path / "photos", 2)
    plain = build(ImageFolder(tmp_path / "photos"), tmp_path / "tfds")
    before = {path: path.stat().st_mtime_ns for path in plain.iterdir()}
    encoded = build(ImageFolder(tmp_path / "photos", quality=50), tmp_path / "tfds")
    assert plain != encoded and "q50" in str(encoded)
    write_many(tmp_path / "more", 3)
    assert build(ImageFolder(tmp_path / "more"), tmp_path / "tfds") not in (plain, encoded)
    assert build(ImageFolder(tmp_path / "photos"), tmp_path / "tfds") == plain
    assert {path: path.stat().st_mtime_ns for path in plain.iterdir()} == before
    assert Built(plain).fingerprint() != Built(encoded).fingerprint()


def test_an_interrupted_build_leaves_nothing(tmp_path, monkeypatch):
    write_many(tmp_path / "photos", 6)
    source = ImageFolder(tmp_path / "photos")
    monkeypatch.setattr(ImageFolder, "encoded", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        build(source, tmp_path / "tfds")
    monkeypatch.undo()
    left = [path.name for path in (tmp_path / "tfds").rglob("*") if path.is_file()]
    assert left == [".lock"]
    same_faces(open_built(build(source, tmp_path / "tfds")), source)


def _interrupt(source, row):
    if row == 4:
        raise KeyboardInterrupt
    return crop(row)


def _run(code, tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_killed_build_starts_again(tmp_path):
    write_many(tmp_path / "photos", 6)
    killed = _run(
        """
        import os, signal, sys
        from data_pipelines.databases import builders
        from data_pipelines.databases.image_folder import ImageFolder

        class Dies(ImageFolder):
            def encoded(self, row):
                return super().encoded(row) if row < 5 else os.kill(os.getpid(), signal.SIGKILL)

        builders._SHARD = 2
        builders.build(Dies(sys.argv[1] + "/photos"), sys.argv[1] + "/tfds")
        """,
        tmp_path,
    )
    assert killed.returncode == -signal.SIGKILL
    assert list((tmp_path / "tfds").rglob("incomplete.*"))
    assert datasets(tmp_path / "tfds") == []
    source = ImageFolder(tmp_path / "photos")
    same_faces(open_built(build(source, tmp_path / "tfds")), source)
    assert not list((tmp_path / "tfds").rglob("incomplete.*"))


def test_two_processes_do_not_build_the_same(tmp_path):
    write_many(tmp_path / "photos", 2)
    source = ImageFolder(tmp_path / "photos")
    folder = build(source, tmp_path / "tfds")
    with builders._alone(folder.parent):
        with pytest.raises(InputError, match="another process is building it"):
            build(source, tmp_path / "tfds")


def test_no_tensorflow(tmp_path):
    write_many(tmp_path / "photos", 3)
    (tmp_path / "photos" / "other.jpg").write_bytes(b"")
    done = _run(
        """
        import sys
        from data_pipelines.databases import open_built
        from data_pipelines.databases.builders import build
        from data_pipelines.databases.image_folder import ImageFolder

        folder = build(ImageFolder(sys.argv[1] + "/photos"), sys.argv[1] + "/tfds")
        assert open_built(folder)[2]["image"].shape == (112, 112, 3)
        assert "tensorflow" not in sys.modules
        """,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr


def test_names(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    with pytest.raises(InputError, match="ijbc: no built database; in .*tfds there is: none"):
        open_built("ijbc")
    write_ijbc(tmp_path / "ijbc")
    write_adience(tmp_path / "adience")
    source = Ijbc(tmp_path / "ijbc")
    folder = build(source, tmp_path / "tfds")
    for spec in ("ijbc", f"ijbc/{folder.parts[-2]}", folder, folder.parent, tmp_path / "tfds"):
        assert tuple(open_built(spec).keys) == source.keys
    build(Adience(tmp_path / "adience", detector=one_face), tmp_path / "tfds")
    with pytest.raises(InputError, match="fddb: no built .* is: adience/auto-.*, ijbc/auto-"):
        open_built("fddb")
    build(Ijbc(tmp_path / "ijbc", quality=90), tmp_path / "tfds")
    with pytest.raises(InputError, match="ijbc: more than one .*ijbc/auto-.*, .*ijbc/auto-q90-"):
        open_built("ijbc")


def test_damaged_datasets(tmp_path):
    write_many(tmp_path / "photos", 4)
    folder = build(ImageFolder(tmp_path / "photos"), tmp_path / "tfds")
    records = next(folder.glob("*.array_record*"))
    data = records.read_bytes()
    records.unlink()
    with pytest.raises(InputError, match="array_record.*: no such file; .*incomplete"):
        open_built(folder)
    at = data.index(crop(2)[-300:-280])
    records.write_bytes(data[:at] + b"\0" * 20 + data[at + 20 :])
    with pytest.raises(InputError, match="002.jpg: the record cannot be read"):
        open_built(folder)[2]
    records.write_bytes(data)
    ends = folder / "key_ends.int64"
    ends.write_bytes(ends.read_bytes()[:-8])
    with pytest.raises(InputError, match="not equally many"):
        open_built(folder)
    (folder / "identities.int64").unlink()
    with pytest.raises(InputError, match="not a database that was built"):
        open_built(folder)


def test_unknown_kinds(tmp_path):
    with pytest.raises(InputError, match="dict: no builder for such a source"):
        build({}, tmp_path)
    write_many(tmp_path / "photos", 1)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file/.*: Not a directory"):
        build(ImageFolder(tmp_path / "photos"), tmp_path / "file")


def test_built_sources_travel_to_worker_processes(tmp_path):
    write_many(tmp_path / "photos", 3)
    built = open_built(build(ImageFolder(tmp_path / "photos"), tmp_path / "tfds"))
    copy = pickle.loads(pickle.dumps(built))
    np.testing.assert_array_equal(copy[1]["image"], built[1]["image"])
    assert tuple(copy.keys) == tuple(built.keys) and copy.fingerprint() == built.fingerprint()


def test_keys_of_any_bytes(tmp_path):
    keys = ["a", "", "umlaut ä\n人", b"latin \xe4".decode("utf-8", "surrogateescape")]
    with columns.ColumnsWriter(tmp_path) as writer:
        for identity, key in enumerate(keys[:2]):
            writer.add(identity, key)
    with columns.ColumnsWriter(tmp_path) as writer:
        for identity, key in enumerate(keys[2:]):
            writer.add(-(2**62) + identity, key)
    found, identities = columns.read(tmp_path)
    assert list(found) == keys and found[-1] == keys[3]
    assert identities.tolist() == [0, 1, -(2**62), -(2**62) + 1]
    with pytest.raises(IndexError):
        found[4]
    assert json.dumps(list(found))
