"""Folders of images, subsets and concatenations as random-access sources."""

import hashlib
import pickle

import cv2
import numpy as np
import pytest

from data_pipelines import loader
from data_pipelines.alignment import TEMPLATE, align, placement
from data_pipelines.databases.image_folder import ImageFolder
from data_pipelines.databases.synthetic_faces import SyntheticFaces
from data_pipelines.detection import Faces
from data_pipelines.errors import InputError
from data_pipelines.sources import Concatenated, Placed, Subset, open_source, placements

LANDMARKS = TEMPLATE * 1.5 + 20


def one_face(image):
    """A detector that sees a face in every photo that is not black."""
    n = int(image.any())
    boxes = np.tile(np.float32([20, 20, 190, 190]), (n, 1))
    return Faces(boxes, np.tile(np.float32(LANDMARKS), (n, 1, 1)), np.ones(n, np.float32))


def _write(path, shape, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(seed).integers(0, 256, (*shape, 3)).astype(np.uint8)
    cv2.imwrite(str(path), image[..., ::-1])
    return image


@pytest.fixture
def folder(tmp_path):
    for seed, name in enumerate(["b/2.png", "b/10.png", "a/x.png", "a/deep/y.PNG", "z.png"]):
        _write(tmp_path / name, (112, 112), seed)
    (tmp_path / "notes.txt").write_text("not an image")
    _write(tmp_path / ".hidden.png", (8, 8))
    return tmp_path


def test_order_and_identities(folder):
    source = ImageFolder(folder)
    assert source.keys == ("a/deep/y.PNG", "a/x.png", "b/10.png", "b/2.png", "z.png")
    groups = [[0], [1], [2, 3], [4]]
    assert [np.flatnonzero(source.identities == i).tolist() for i in range(4)] == groups


def test_a_flat_folder_has_an_identity_an_image(tmp_path):
    for name in "abc":
        _write(tmp_path / f"{name}.png", (8, 8))
    assert ImageFolder(tmp_path).identities.tolist() == [0, 1, 2]


def test_aligned_images_pass_through(folder):
    source = ImageFolder(folder, detector=one_face)
    item = source[3]
    expected = cv2.imread(str(folder / "b/2.png"))[..., ::-1]
    np.testing.assert_array_equal(item.pop("image"), expected)
    assert item == {
        "identity": source.identities[3],
        "key": "b/2.png",
        "database": folder.name,
    }
    assert source.sha256(3) == hashlib.sha256((folder / "b/2.png").read_bytes()).hexdigest()


def test_other_images_are_aligned(tmp_path):
    photo = _write(tmp_path / "photo.png", (200, 220))
    found = ImageFolder(tmp_path, detector=one_face)[0]["image"]
    np.testing.assert_array_equal(found, align(photo, LANDMARKS))
    resized = ImageFolder(tmp_path, align="never")[0]["image"]
    expected = cv2.resize(photo, (112, 112), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(resized, expected)


def test_always_aligns_images_of_the_aligned_size(folder):
    photo = cv2.imread(str(folder / "z.png"))[..., ::-1]
    found = ImageFolder(folder, align="always", detector=one_face)[4]["image"]
    np.testing.assert_array_equal(found, align(photo, LANDMARKS))


def test_bad_images_name_file_and_reason(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"broken")
    cv2.imwrite(str(tmp_path / "dark.png"), np.zeros((50, 50, 3), np.uint8))
    source = ImageFolder(tmp_path, detector=one_face)
    with pytest.raises(InputError, match="broken.jpg: not an image"):
        source[0]
    with pytest.raises(InputError, match="dark.png: no face was found"):
        source[1]
    (tmp_path / "dark.png").unlink()
    assert source.sha256(1) is None


def test_unusable_folders(tmp_path):
    with pytest.raises(InputError, match="nothing: not a source.*folder of images"):
        open_source(tmp_path / "nothing")
    with pytest.raises(InputError, match="no images"):
        open_source(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        ImageFolder(tmp_path / "nothing")
    _write(tmp_path / "a.png", (8, 8))
    with pytest.raises(InputError, match="auto, always, never"):
        ImageFolder(tmp_path, align="perhaps")
    with pytest.raises(InputError, match="no such detector"):
        open_source(tmp_path, detector=tmp_path / "yunet.onnx")


def test_sources_travel_to_worker_processes(tmp_path):
    _write(tmp_path / "photo.png", (200, 220))
    source = ImageFolder(tmp_path, detector=one_face)
    first = source[0]["image"]
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy[0]["image"], first)


def test_subset_and_concatenation(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    for name in ("p.png", "q.png"):
        _write(other / name, (112, 112))
    first, second = ImageFolder(folder), ImageFolder(other)
    subset = Subset(first, [4, 1])
    assert subset.keys == ("z.png", "a/x.png") and len(subset) == 2
    assert subset[0]["key"] == "z.png"
    assert subset.identities.tolist() == first.identities[[4, 1]].tolist()

    both = Concatenated([subset, second, Subset(first, []), second])
    assert both.keys == ("z.png", "a/x.png", "p.png", "q.png", "p.png", "q.png")
    assert len(set(both.identities.tolist())) == len(both) == 6
    for row, (key, database) in enumerate(zip(both.keys, [folder.name] * 2 + [other.name] * 4)):
        item = both[row]
        assert (item["key"], item["database"]) == (key, database)
        assert item["identity"] == both.identities[row]
    assert both[-1]["key"] == "q.png"
    with pytest.raises(IndexError):
        both[6]


@pytest.fixture
def mixed(tmp_path):
    """Two photos, of which the second is black, an aligned one, and a face that was rendered."""
    _write(tmp_path / "0.png", (200, 220))
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((50, 50, 3), np.uint8))
    _write(tmp_path / "2.png", (112, 112))
    return Concatenated([ImageFolder(tmp_path, detector=one_face), SyntheticFaces("studio", 0, 1)])


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.full)])
def test_how_faces_lay_is_noted_as_batches_are_read(mixed, tmp_path, workers):
    rows = np.array([3, 1, 0, 2])
    placed = Placed(Subset(mixed, rows), tmp_path / "places.npy")
    everything = np.arange(4)
    assert np.isnan(placed.placements(everything)).all()
    (batch,) = loader.batches(placed, 4, workers=workers, keep_bad=True)
    assert batch["_mask"].tolist() == [True, False, True, True]
    assert batch["error"][1].endswith("1.png: no face was found")
    for row in (0, 2, 3):
        np.testing.assert_array_equal(batch["image"][row], mixed[int(rows[row])]["image"])
    found = placed.placements(everything)
    np.testing.assert_array_equal(found[2], np.float32(placement(np.float32(LANDMARKS))))
    assert np.isnan(found[[0, 1, 3]]).all()
    again = Placed(Subset(mixed, rows), tmp_path / "places.npy")
    np.testing.assert_array_equal(again.placements(everything), found)


def test_placements_go_through_subsets_and_concatenations(mixed, tmp_path):
    placed = Placed(mixed, tmp_path / "places.npy")
    placed[0], placed[2]
    placed.identities = mixed.identities
    both = Concatenated([Subset(mixed, [0, 2]), Subset(placed, [2, 0])])
    expected = [np.full(2, np.nan)] * 3 + [np.float32(placement(np.float32(LANDMARKS)))]
    np.testing.assert_array_equal(placements(both, np.arange(4)), expected)
    np.testing.assert_array_equal(placements(Subset(both, [3, 0]), np.array([1, 0])), expected[2:])
