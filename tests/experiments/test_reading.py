"""AAD of populations: maps of either type, in memory, on disk and out of a store."""

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.databases.image_folder import ImageFolder
from experiments import extraction
from experiments.reading import Reader, View
from mint_jax import aad, audited, parallel
from mint_jax.auditors import placement
from mint_jax.errors import InputError

SPEC = "iresnet18:random=0,width=0.0625,embedding_size=16,input_size=28"
IMAGES, BATCH = 21, 8


@pytest.fixture(scope="module")
def model():
    return audited.load(SPEC)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for i in range(IMAGES):
        photo = cv2.resize(rng.integers(0, 256, (16, 16, 3)).astype(np.uint8), (112, 112))
        cv2.imwrite(str(folder / f"{i:05d}.png"), photo)
    return ImageFolder(folder)


def read(model, source, **options):
    views = {"audited": View(model, ("train",), maps=True, views=("flip",))}
    reader = Reader(views, batch=BATCH, workers=0, **options)
    return reader.populations({"members": {"train": source}}, 1)["members"]["train"]


@pytest.fixture(scope="module")
def expected(model, source):
    return read(model, source).readings["audited"]


def test_maxima_are_those_of_the_maps(expected):
    assert set(expected.maps) == {"conv1", "conv2", "conv3", "conv4"}
    assert set(expected.maxima) == {*expected.maps, "outcome", "outcome@flip"}
    for layer, maps in expected.maps.items():
        assert maps.dtype == np.float32 and len(maps) == IMAGES
        np.testing.assert_array_equal(expected.maxima[layer], maps.max(axis=(1, 2)))


@pytest.mark.parametrize("place", ["memory", "disk", "store"])
def test_bfloat16_maps_are_those_of_float32_rounded(
    model, source, expected, place, tmp_path, monkeypatch
):
    options = {"folder": tmp_path, "maps": "bfloat16"}
    if place == "disk":
        monkeypatch.setattr(parallel, "free_memory", lambda: (0, 0))
    if place == "store":
        layers = (*model.layers, "outcome@flip")
        extraction.extract_source(
            model, source, tmp_path / "aad", layers=layers, reduce="map", per_device_batch=BATCH
        )
        options["stores"] = [aad.open_store(tmp_path / "aad")]
        monkeypatch.setattr(aad, "make_extractor", None)
    found = read(model, source, **options).readings["audited"]
    assert set(found.maxima) == set(expected.maxima) and set(found.maps) == set(expected.maps)
    for layer, maxima in expected.maxima.items():
        np.testing.assert_array_equal(found.maxima[layer], maxima)
    for layer, maps in expected.maps.items():
        assert found.maps[layer].dtype == jnp.bfloat16
        assert placement.stored(found.maps[layer]) == (place == "disk")
        np.testing.assert_array_equal(found.maps[layer], maps.astype(jnp.bfloat16))


def test_maps_take_memory_of_which_they_have_half_the_need(model, source, tmp_path, monkeypatch):
    size = sum(4 * np.prod(s) for s in aad.shapes(model, model.layers, "map").values())
    monkeypatch.setattr(parallel, "free_memory", lambda: (0, size * IMAGES))
    for maps, on_disk in (("float32", True), ("bfloat16", False)):
        found = read(model, source, folder=tmp_path, maps=maps).readings["audited"].maps
        assert [placement.stored(x) for x in found.values()] == [on_disk] * 4


def test_processes_hold_their_own_maps_and_those_of_all_for_a_while(model, tmp_path, monkeypatch):
    size = sum(4 * np.prod(s) for s in aad.shapes(model, model.layers, "map").values())
    monkeypatch.setattr(parallel, "free_memory", lambda: (0, 2 * size * IMAGES))
    for processes, on_disk in ((1, False), (2, True)):
        monkeypatch.setattr(parallel, "process_count", lambda: processes)  # noqa: B023
        views = {"audited": View(model, ("train",), maps=True)}
        reader = Reader(views, batch=BATCH, workers=0, folder=tmp_path)
        assert bool(reader._places({"audited": True}, IMAGES, IMAGES)) == on_disk


def test_another_type_is_refused(model, source):
    with pytest.raises(
        InputError, match="no type 'half' of activations; there are float32, bfloat16"
    ):
        read(model, source, maps="half")
