"""Audited models: pixels in, what is stored and read again, specifications, errors."""

import json

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mint_jax import audited
from mint_jax.audited.model import digest, resize
from mint_jax.errors import InputError

SPEC = "iresnet18:random=3,width=0.0625,embedding_size=16,input_size=56"


@pytest.fixture(scope="module")
def model():
    return audited.load(SPEC)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3), np.uint8)


@pytest.fixture
def folder(model, tmp_path):
    audited.save(
        tmp_path / "stored",
        architecture=model.architecture,
        variables=model.variables,
        preprocessing=audited.Preprocessing(100.0, 0.01, "bgr"),
        info={"name": "a thin one", "epochs": 2},
    )
    return tmp_path / "stored"


def test_preprocessing_is_opencvs(images):
    given = audited.Preprocessing(mean=127.5, scale=1 / 127.5, channel_order="bgr")
    mean = (given.mean,) * 3
    expected = cv2.dnn.blobFromImages(list(images), given.scale, mean=mean, swapRB=True)
    np.testing.assert_allclose(given(images), expected.transpose(0, 2, 3, 1), atol=1e-6)


@pytest.mark.parametrize("size", [56, 28, 112])
def test_whole_ratios_resize_by_area_means(images, size):
    expected = [
        cv2.resize(x.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA) for x in images
    ]
    np.testing.assert_allclose(resize(jnp.asarray(images), size), expected, atol=1e-3)


def test_other_ratios_keep_a_gradient(images):
    ramp = np.broadcast_to(np.arange(112, dtype=np.uint8)[None, None, :, None], images.shape)
    found = np.asarray(resize(jnp.asarray(ramp), 96))[0, 0, 4:-4, 0]
    expected = (np.arange(96) + 0.5) * 112 / 96 - 0.5
    np.testing.assert_allclose(found, expected[4:-4], atol=0.2)


def test_only_what_is_asked_for_with_its_shape(model, images):
    shapes = {"conv1": (2, 28, 28, 4), "conv4": (2, 4, 4, 32), "outcome": (2, 16)}
    found = jax.eval_shape(lambda i: model.apply(model.variables, i, tuple(shapes)), images)
    assert {layer: value.shape for layer, value in found.items()} == shapes


def test_unknown_layers_and_other_images(model, images):
    with pytest.raises(InputError, match="'conv7'; it has conv1, conv2, conv3, conv4, outcome"):
        model.apply(model.variables, images, ("conv1", "conv7"))
    with pytest.raises(InputError, match="112, 112"):
        model.apply(model.variables, images[0], ("conv1",))


def test_stored_models_come_back(model, folder, images):
    again = audited.load(folder)
    assert again.name == "a thin one" and again.info["epochs"] == 2
    assert again.preprocessing == audited.Preprocessing(100.0, 0.01, "bgr")
    assert again.sha256 == model.sha256 == digest(model.variables)
    assert again.architecture == model.architecture
    jax.tree.map(np.testing.assert_array_equal, again.variables, model.variables)


def test_the_hash_of_an_import_is_its_sources(model, tmp_path):
    audited.save(
        tmp_path,
        architecture=model.architecture,
        variables=model.variables,
        preprocessing=model.preprocessing,
        info={},
        source_sha256="ab" * 32,
    )
    assert audited.load(tmp_path).sha256 == "ab" * 32


def test_changed_weights_are_noticed(folder, model):
    content = json.loads((folder / "model.json").read_text())
    content["weights_sha256"] = "0" * 64
    (folder / "model.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="stored.*SHA-256"):
        audited.load(folder)


def test_damaged_folders(folder, tmp_path):
    (folder / "variables" / "manifest.ocdbt").unlink()
    with pytest.raises(InputError, match="variables.*cannot be read"):
        audited.load(folder)
    (folder / "model.json").write_text("{")
    with pytest.raises(InputError, match="no stored model"):
        audited.load(folder)


def test_random_weights_follow_the_seed(model):
    first, again, other = (audited.randomised(model, seed) for seed in (1, 1, 2))
    assert first.sha256 == again.sha256
    assert len({first.sha256, other.sha256, model.sha256}) == 3
    assert first.layers == model.layers and first.preprocessing == model.preprocessing
    kernel = first.variables["params"]["stage4_block1_conv1"]["kernel"]
    assert kernel.std() == pytest.approx((2 / (9 * 32)) ** 0.5, rel=0.05)


def test_digests_see_names_types_shapes_and_values():
    x = np.arange(6, dtype=np.float32)
    variants = [
        {"a": x},
        {"b": x},
        {"a": x.reshape(2, 3)},
        {"a": x + 1},
        {"a": x.view("i4")},
    ]
    assert len({digest(tree) for tree in variants}) == len(variants)
    assert digest({"a": x, "b": x + 1}) == digest({"b": jnp.asarray(x + 1), "a": x})


@pytest.mark.parametrize(
    "spec",
    [
        "nothing/here",
        "iresnet19:random=1",
        "iresnet18:random=one",
        "iresnet18:seed=1",
        "iresnet18:random=1,depth=3",
    ],
)
def test_specifications_that_mean_nothing(spec):
    with pytest.raises(InputError, match="iresnet18"):
        audited.load(spec)


def test_a_preprocessing_is_for_onnx_files(folder):
    with pytest.raises(InputError, match="onnx"):
        audited.load(folder, audited.Preprocessing())
    with pytest.raises(InputError, match="grb"):
        audited.Preprocessing(channel_order="grb")
