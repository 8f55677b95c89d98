"""Extraction of AAD: what is computed, and that rows depend on nothing but their image."""

import dataclasses
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mint_jax import aad, audited
from mint_jax.aad.extractor import apply_function
from mint_jax.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
SPEC = "iresnet18:random=3,width=0.125,embedding_size=32,input_size=56"
LAYERS = ("conv1", "conv2", "conv3", "conv4", "outcome")


@pytest.fixture(scope="module")
def model():
    return audited.load(SPEC)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (11, 112, 112, 3), np.uint8)


def test_maxima_are_the_maxima_of_the_maps(model, images):
    maps = aad.make_extractor(model, LAYERS, "map", per_device_batch=4)(images)
    maxima = aad.make_extractor(model, (*LAYERS, "all_conv"), "max", per_device_batch=4)(images)
    for layer in LAYERS[:4]:
        np.testing.assert_array_equal(maxima[layer], maps[layer].max(axis=(1, 2)))
    np.testing.assert_array_equal(maxima["outcome"], maps["outcome"])
    joined = np.concatenate([maxima[layer] for layer in LAYERS[:4]], axis=1)
    np.testing.assert_array_equal(maxima["all_conv"], joined)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_both_are_the_maxima_and_the_maps(model, images, dtype):
    make = lambda layers, *how: aad.make_extractor(model, layers, *how)(images)  # noqa: E731
    layers = ("outcome", "conv3", "conv1@flip")
    maxima, maps = make((*layers, "all_conv"), "max", 4), make(layers, "map", 4)
    rounded, both = make(layers, "map", 4, dtype), make((*layers, "all_conv"), "both", 4, dtype)
    assert set(both) == {*maxima, "conv3.map", "conv1@flip.map"}
    for layer, values in maxima.items():
        np.testing.assert_array_equal(both[layer], values)
    for layer in layers[1:]:
        assert both[aad.map_of(layer)].dtype == rounded[layer].dtype == jnp.dtype(dtype)
        np.testing.assert_array_equal(both[aad.map_of(layer)], maps[layer].astype(dtype))
        np.testing.assert_array_equal(rounded[layer], maps[layer].astype(dtype))
    np.testing.assert_array_equal(rounded["outcome"], maps["outcome"])
    shapes = aad.shapes(model, (*layers, "all_conv"), "both")
    assert shapes == {layer: values.shape[1:] for layer, values in both.items()}
    assert list(shapes) == [*layers, "all_conv", "conv3.map", "conv1@flip.map"]


def test_rows_do_not_depend_on_the_batch(model, images):
    extractor = aad.make_extractor(model, ("conv2", "outcome"), "max", per_device_batch=4)
    together = extractor(images)
    for layer, values in together.items():
        alone = np.concatenate([extractor(images[i : i + 1])[layer] for i in range(len(images))])
        np.testing.assert_allclose(values, alone, rtol=0, atol=1e-6 * np.abs(alone).max())


def test_in_one_place_the_bits_depend_on_the_image_alone(model, images):
    extractor = aad.make_extractor(model, LAYERS, "map", per_device_batch=4)
    first, second = extractor(images[:4]), extractor(images[[0, 9, 2, 10]])
    for layer in LAYERS:
        np.testing.assert_array_equal(first[layer][[0, 2]], second[layer][[0, 2]])


def test_few_images_need_not_wait_for_a_whole_chunk(model, images):
    extractor, devices = aad.make_extractor(model, LAYERS, "max", 8), jax.local_device_count()
    expected = extractor(images)
    for count, chunk in ((1, 1), (4, 1), (5, 8)):
        suited = extractor.suited(count * devices)
        assert (suited.chunk, extractor.chunk) == (chunk * devices, 8 * devices)
        for layer, values in suited(images).items():
            atol = 5e-6 * np.abs(values).max()
            np.testing.assert_allclose(values, expected[layer], rtol=0, atol=atol)


@pytest.mark.parametrize(
    ("layers", "batch", "photos"),
    [
        (("conv1", "outcome"), 1, 1),
        (("outcome", "outcome@flip"), 1, 2),
        (("conv4", "outcome", "outcome@flip"), 3, 3),  # the photo passes apart, with conv4
        (("all_conv", "conv1@flip"), 4, 4),
    ],
)
def test_kernels_are_prepared_for_as_many_photos_as_pass_at_once(model, layers, batch, photos):
    asked = []

    def prepare(variables, batch):
        asked.append(batch)
        return variables

    other = dataclasses.replace(model, prepare=prepare)
    extractor = aad.make_extractor(other, layers, "max", batch)
    extractor.with_variables(model.variables)
    assert asked == [photos, photos]


def test_extract_places_rows_by_index_and_skips_masked_ones(model, images):
    extractor = aad.make_extractor(model, ("conv4",), "max", per_device_batch=4)
    rows = np.array([7, 2, 0, 5])
    batches = [
        {"image": images[:2], "index": rows[:2], "_mask": np.array([True, True])},
        {"image": images[2:4], "index": rows[2:], "_mask": np.array([True, False])},
    ]
    found = aad.extract(extractor, batches, n=8)["conv4"]
    expected = np.zeros_like(found)
    expected[rows[:3]] = extractor(images[:3])["conv4"]
    np.testing.assert_array_equal(found, expected)
    batches = [{"image": images[:4], "index": np.arange(3, 7), "_mask": np.arange(4) < 3}]
    found = aad.extract(extractor, batches, n=8)["conv4"]
    expected = np.zeros_like(found)
    expected[3:6] = extractor(images[:3])["conv4"]
    np.testing.assert_array_equal(found, expected)


DIGEST = """
import hashlib, sys
import jax, numpy as np
from mint_jax import aad, audited
images = np.random.default_rng(0).integers(0, 256, (11, 112, 112, 3), np.uint8)
out = aad.make_extractor(audited.load(sys.argv[1]), ("conv1", "outcome"), "map", 4)(images)
values = b"".join(v.tobytes() for v in out.values())
print(jax.local_device_count(), hashlib.sha256(values).hexdigest())
"""


def test_rows_do_not_depend_on_the_number_of_devices(model, images):
    out = aad.make_extractor(model, ("conv1", "outcome"), "map", 4)(images)
    here = hashlib.sha256(b"".join(v.tobytes() for v in out.values())).hexdigest()
    for devices in (1, 2, 4):
        flags = f"--xla_force_host_platform_device_count={devices}"
        run = subprocess.run(
            [sys.executable, "-c", DIGEST, SPEC],
            env={**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout.split() == [str(devices), here]


def _flops(network, layers):
    apply = apply_function(network, layers, "max")
    images = jax.ShapeDtypeStruct((1, 112, 112, 3), jnp.uint8)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), network.variables)
    return jax.jit(apply).lower(shapes, images).compile().cost_analysis()["flops"]


def test_conv1_of_r100_costs_less_than_12_percent_of_the_whole():
    network = audited.load("iresnet100:random=0")
    assert _flops(network, ("conv1",)) < 0.12 * _flops(network, LAYERS)


@pytest.mark.parametrize(
    ("layers", "reduce", "message"),
    [
        (("conv9",), "max", "conv1"),
        (("all_conv",), "map", "max"),
        (("conv1",), "mean", "mean"),
        ((), "max", "no layer"),
        (("conv9",), "both", "conv1"),
    ],
)
def test_bad_requests_say_what_is_known(model, layers, reduce, message):
    with pytest.raises(InputError, match=message):
        aad.make_extractor(model, layers, reduce)


def test_an_unknown_type_of_maps_is_refused(model):
    with pytest.raises(
        InputError, match="no type 'float16' of activations; there are float32, bfloat16"
    ):
        aad.make_extractor(model, LAYERS, "map", dtype="float16")
