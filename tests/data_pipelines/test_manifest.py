"""Manifests: an audit set is built again from keys and hashes, or refused."""

import hashlib
import json

import cv2
import numpy as np
import pytest

from data_pipelines import audit_set, manifest
from data_pipelines.databases.image_folder import ImageFolder
from data_pipelines.errors import InputError
from data_pipelines.sources import Concatenated, Subset


def _folder(path, count, seed):
    path.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        image = rng.integers(0, 256, (112, 112, 3)).astype(np.uint8)
        cv2.imwrite(str(path / f"{number:02d}.png"), image)
    return path


@pytest.fixture
def written(tmp_path):
    """Two folders with the same names in them, an audit set over both, and its manifest."""
    folders = [_folder(tmp_path / name / "photos", 12, seed) for seed, name in enumerate("ab")]
    first, second = map(ImageFolder, folders)
    wanted = {"train": 3, "test": 2}
    sides = {
        "members": audit_set.partition([Subset(first, np.arange(1, 12))], wanted, 0),
        "externals": audit_set.partition([Subset(first, [0]), second], {"test": 4}, 0),
    }
    path = tmp_path / "manifest.json"
    manifest.write(path, sides, seed=0, dropped={"3": "repeats 1"})
    return folders, sides, path


def _images(source):
    return [source[row]["image"] for row in range(len(source))]


def test_the_set_is_built_again_exactly(written):
    folders, sides, path = written
    found = manifest.read(path, [ImageFolder(folder) for folder in folders])
    assert {side: set(parts) for side, parts in found.items()} == {
        "members": {"train", "test"},
        "externals": {"test"},
    }
    for side, parts in sides.items():
        for part, source in parts.items():
            again = found[side][part]
            assert again.keys == source.keys
            np.testing.assert_array_equal(_images(again), _images(source))
    content = json.loads(path.read_text())
    assert content["dropped"] == {"3": "repeats 1"} and content["seed"] == 0
    number, row, key, digest = content["sides"]["members"]["train"]["rows"][0]
    file = folders[number] / key
    assert digest == hashlib.sha256(file.read_bytes()).hexdigest()
    assert ImageFolder(folders[number]).keys[row] == key


def test_images_may_be_added_but_not_changed_or_taken_away(written):
    folders, sides, path = written
    expected = _images(sides["members"]["train"])
    cv2.imwrite(str(folders[0] / "000.png"), np.zeros((112, 112, 3), np.uint8))
    sources = [ImageFolder(folder) for folder in folders]
    found = manifest.read(path, sources)["members"]["train"]
    np.testing.assert_array_equal(_images(found), expected)

    file = folders[0] / sides["members"]["train"].keys[0]
    data = file.read_bytes()
    cv2.imwrite(str(file), np.ones((112, 112, 3), np.uint8))
    with pytest.raises(InputError, match=f"another image under the key {file.name}"):
        manifest.read(path, sources)
    manifest.read(path, sources, verify=False)
    file.unlink()
    with pytest.raises(InputError, match=f"photos has no image {file.name}"):
        manifest.read(path, [ImageFolder(folder) for folder in folders])
    file.write_bytes(data)
    with pytest.raises(InputError, match="drawn from photos, photos; 1 sources given"):
        manifest.read(path, sources[:1])


@pytest.mark.parametrize("content", ["", "[]", '{"sides": 3}', '{"sides": {}, "sources": [1]}'])
def test_other_files_are_no_manifest(tmp_path, content):
    path = tmp_path / "manifest.json"
    path.write_text(content)
    with pytest.raises(InputError, match="not a manifest"):
        manifest.read(path, [])
    with pytest.raises(InputError, match="No such file"):
        manifest.read(tmp_path / "absent.json", [])


def test_rendered_images_have_no_file_to_hash(tmp_path):
    class Rendered:
        keys, identities, database = ("x", "y"), np.arange(2), "rendered"

        def __len__(self):
            return 2

        def fingerprint(self):
            return "f"

    source = Rendered()
    path = tmp_path / "manifest.json"
    manifest.write(path, {"members": {"test": Concatenated([source])}})
    assert manifest.read(path, [source])["members"]["test"].rows.tolist() == [0, 1]
