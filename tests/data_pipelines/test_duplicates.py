"""The screen for near-duplicates."""

import cv2
import numpy as np
import pytest
import sklearn.metrics

from data_pipelines import duplicates
from data_pipelines.databases.image_folder import ImageFolder


def _photo(seed):
    noise = np.random.default_rng(seed).normal(size=(112, 112, 3))
    smooth = sum(cv2.GaussianBlur(noise, (0, 0), s) * s for s in (2, 4, 8, 16))
    return np.clip(128 + 60 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def _jpeg(image):
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], 1)


CHANGES = {
    "compression": _jpeg,
    "size": lambda image: cv2.resize(cv2.resize(image, (48, 48)), (112, 112)),
    "exposure": lambda image: (image * 0.7 + 40).astype(np.uint8),
    "grey": lambda image: np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, 2),
    "mirror": lambda image: np.ascontiguousarray(image[:, ::-1]),
    "both": lambda image: _jpeg(np.ascontiguousarray(image[:, ::-1])),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_and_others_are_not(change):
    photos = [_photo(seed) for seed in range(60)]
    copies = [CHANGES[change](photo) for photo in photos]
    prints = duplicates.fingerprints(np.stack(photos + copies))
    assert sorted(duplicates.pairs(prints)) == [(i, i + 60) for i in range(60)]


def test_pairs_are_those_of_a_loop_over_bits():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (40, 16, 16))
    bits[20:30] = bits[:10, :, :] ^ (rng.random((10, 16, 16)) < 0.15)
    prints = np.packbits(bits.reshape(40, -1), axis=1).view(np.uint64)
    mirror = np.arange(16) % 2
    expected = [
        (i, j)
        for i in range(40)
        for j in range(i + 1, 40)
        if min((bits[i] ^ bits[j]).sum(), (bits[i] ^ bits[j] ^ mirror).sum()) <= 40
    ]
    assert len(expected) > 3
    assert sorted(duplicates.pairs(prints, 40)) == expected


def test_blocks_change_nothing(monkeypatch):
    prints = np.random.default_rng(0).integers(0, 2**64, (50, 4), dtype=np.uint64)
    expected = sorted(duplicates.pairs(prints, 110))
    assert expected
    monkeypatch.setattr(duplicates, "_BLOCK", 7)
    assert sorted(duplicates.pairs(prints, 110)) == expected


def test_a_chain_is_one_group():
    prints = np.zeros((4, 4), np.uint64)
    prints[:, 0] = [0, 0b111, 0b111111, 2**63 - 1]
    assert duplicates.groups(4, duplicates.pairs(prints, 3)).tolist() == [0, 0, 0, 3]
    order = np.array([2, 3, 0, 1])
    assert duplicates.groups(4, duplicates.pairs(prints[order], 3)).tolist() == [0, 1, 0, 0]


def test_the_screen_reports_what_it_dropped(tmp_path):
    for name, image in (
        ("a", _photo(0)),
        ("b", _photo(1)),
        ("c", _jpeg(_photo(0))),
        ("e", _photo(1)[:, ::-1]),
    ):
        cv2.imwrite(str(tmp_path / f"{name}.png"), image)
    (tmp_path / "d.png").write_bytes(b"broken")
    kept, dropped = duplicates.screen(ImageFolder(tmp_path))
    assert kept.tolist() == [0, 1]
    assert dropped.pop(3).endswith("d.png: not an image that can be decoded")
    assert dropped == {2: "repeats a.png", 4: "repeats b.png"}


class Faces:
    """Images by number; several numbers may be the same photo."""

    def __init__(self, photos):
        self.photos, self.keys = photos, tuple(map(str, range(len(photos))))

    def __len__(self):
        return len(self.photos)

    def __getitem__(self, index):
        return {"image": _photo(self.photos[index])}


def test_a_copy_on_the_other_side_is_dropped_on_both():
    source, sides = Faces([0, 1, 2, 0, 3, 3, 4]), [1, 1, 1, 0, 0, 0, 0]
    kept, dropped = duplicates.screen(source, sides=sides)
    assert kept.tolist() == [1, 2, 4, 6]
    assert dropped == {0: "repeats 3", 3: "repeats 0", 5: "repeats 4"}
    turned = duplicates.screen(source, sides=[1 - side for side in sides])
    assert turned.kept.tolist() == kept.tolist() and turned.dropped == dropped


def test_embeddings_find_what_fingerprints_do_not():
    rng = np.random.default_rng(0)
    people = rng.normal(size=(5, 16))
    vectors = np.concatenate([people, people[:2] * 3 + 0.02 * rng.normal(size=(2, 16))])
    cosines = sklearn.metrics.pairwise.cosine_similarity(vectors)
    expected = [(i, j) for i, j in np.argwhere(cosines >= 0.9).tolist() if i < j]
    assert sorted(duplicates.close(vectors, 0.9)) == expected == [(0, 5), (1, 6)]
    source = Faces(range(7))
    found = duplicates.screen(source, embed=lambda images: vectors[: len(images)])
    assert found.kept.tolist() == [0, 1, 2, 3, 4]
    assert len(duplicates.screen(source).kept) == 7


@pytest.mark.full
def test_twins_of_a_real_collection(test_data):
    source = ImageFolder(test_data / "faces" / "utkface_adults", align="never")
    kept, dropped = duplicates.screen(source)
    assert len(kept) + len(dropped) == len(source) == 5853
    twins = {source.keys[row] for row in dropped}
    twins |= {reason.removeprefix("repeats ") for reason in dropped.values()}
    assert 230 <= len(twins) <= 280
