"""The cache of aligned photos: it goes on where it was stopped, and keeps to its rows."""

import cv2
import numpy as np
import pytest

from data_pipelines.alignment import TEMPLATE, placement
from data_pipelines.databases.image_folder import ImageFolder
from data_pipelines.faces import Faces
from data_pipelines.sources import Subset, origins, placements
from experiments import photos


def _landmarks(image):
    """Another place in every photo."""
    return np.float32(TEMPLATE * (1 + image[0, 0, 0] / 1000))


def detector(image):
    return Faces(np.float32([[0, 0, 50, 50]]), _landmarks(image)[None], np.ones(1, np.float32))


@pytest.fixture
def source(tmp_path):
    """150 photos, three of which cannot be read; only rows 5 to 144 are asked for."""
    folder = tmp_path / "faces"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(150):
        image = rng.integers(0, 256, (120, 112, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number:03d}.png"), image)
    for number in (7, 70, 140):
        (folder / f"{number:03d}.png").write_bytes(b"broken")
    return Subset(ImageFolder(folder, detector=detector), np.arange(5, 145))


def _check(faces, notes, source):
    assert len(faces) == 137 and len(notes) == 1
    assert notes[0].startswith("faces: 3 of 140 images were left out, such as ")
    assert notes[0].endswith("007.png: not an image that can be decoded.")
    for row in (0, 1, 2, 60, 136):
        ((base, rows, _),) = origins(faces, np.array([row]))
        expected = base[int(rows[0])]
        item = faces[row]
        np.testing.assert_array_equal(item.pop("image"), expected.pop("image"))
        assert item == expected
        photo = cv2.imread(base.name(int(rows[0])))[..., ::-1]
        place = placements(faces, np.array([row]))[0]
        np.testing.assert_array_equal(place, np.float32(placement(_landmarks(photo))))
    assert faces.fingerprint() != source.fingerprint()  # three images are left out


def test_photos_are_read_once(source, tmp_path, monkeypatch):
    faces, notes = photos.aligned(source, tmp_path / "cache", 0)
    _check(faces, notes, source)
    monkeypatch.setattr(photos.loader, "batches", None)
    _check(*photos.aligned(source, tmp_path / "cache", 0), source)


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_a_stopped_run_goes_on(source, tmp_path, monkeypatch, batches):
    real, read = photos.loader.batches, []

    def stops(*args, **options):
        for number, batch in enumerate(real(*args, **options)):
            if number == batches:
                raise KeyboardInterrupt
            yield batch

    def counted(todo, *args, **options):
        read.append(len(todo))
        return real(todo, *args, **options)

    monkeypatch.setattr(photos.loader, "batches", stops)
    with pytest.raises(KeyboardInterrupt):
        photos.aligned(source, tmp_path / "cache", 0)
    with next((tmp_path / "cache").glob("*.jsonl")).open("a") as file:
        file.write("[1")  # a line that was cut off
    monkeypatch.setattr(photos.loader, "batches", counted)
    _check(*photos.aligned(source, tmp_path / "cache", 0), source)
    assert read == [140 - 64 * batches]


def test_a_cache_of_faces_alone_is_made_anew(source, tmp_path):
    cache = tmp_path / "cache"
    photos.aligned(source, cache, 0)
    (places,) = cache.glob("*.places.npy")
    places.unlink()
    _check(*photos.aligned(source, cache, 0), source)
    assert places.exists()
