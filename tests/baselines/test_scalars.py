"""Scores of one network against the embeddings of views made by hand."""

import dataclasses

import jax
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mint_jax import aad, audited
from mint_jax.audited.iresnet import iresnet
from mint_jax.baselines import BASELINES, Scalars

SPEC = "iresnet18:random=3,width=0.125,embedding_size=16,input_size=28"


@pytest.fixture(scope="module")
def model():
    """A network whose BatchNorms have statistics, scales and offsets of their own."""
    plain, generator = audited.load(SPEC), np.random.default_rng(0)
    drawn = {"mean": (-0.3, 0.3), "var": (0.5, 2), "scale": (0.5, 1.5), "bias": (-0.2, 0.2)}

    def draw(path, leaf):
        limits = drawn.get(path[-1].key)
        return generator.uniform(*limits, leaf.shape).astype(np.float32) if limits else leaf

    variables = jax.tree_util.tree_map_with_path(draw, plain.variables)
    return dataclasses.replace(plain, variables=variables)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 112, 112, 3), np.uint8)


@pytest.fixture(scope="module")
def scalars(model):
    return Scalars(model, per_device_batch=3)


@pytest.fixture(scope="module")
def scores(scalars, images):
    return scalars(images)


@pytest.fixture(scope="module")
def embed(model):
    return aad.make_extractor(model, ("outcome",), per_device_batch=7)


def test_norm_and_consistency(embed, images, scores):
    wide = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), "edge")
    starts = ((4, 2), (0, 2), (2, 4), (2, 0))
    shifts = [wide[:, y : y + 112, x : x + 112] for y, x in starts]
    own, mirror, *moved = (embed(view)["outcome"] for view in (images, images[:, :, ::-1], *shifts))

    def cosine(a, b):
        return np.sum(a * b, 1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)

    np.testing.assert_allclose(scores["norm"], np.linalg.norm(own, axis=1), rtol=1e-5)
    np.testing.assert_allclose(scores["flip"], cosine(own, mirror), atol=1e-5)
    expected = np.mean([cosine(own, view) for view in moved], axis=0)
    np.testing.assert_allclose(scores["jitter"], expected, atol=1e-5)


def test_batchnorm_distance_against_what_the_batchnorms_put_out(model, images, scores):
    """Out of outputs y = scale * z + bias: the distance is mean(z)^2 + (std(z) - 1)^2."""
    network = iresnet("iresnet18", width=0.125, embedding_size=16)

    @jax.jit
    def outputs(variables, images):
        x = model.preprocessing(audited.model.resize(images, model.input_size))
        norms = {"capture_intermediates": lambda module, _: "bn" in (module.name or "")}
        return network.apply(variables, x, **norms)[1]["intermediates"]

    distances = []
    for name, found in outputs(model.variables, images).items():
        norm, y = model.variables["params"][name], found["__call__"][0]
        z = np.asarray((y - norm["bias"]) / norm["scale"], np.float64).reshape(
            len(y), -1, y.shape[-1]
        )
        distances.append(np.mean(z.mean(1) ** 2 + (z.std(1) - 1) ** 2, axis=-1))
    assert len(distances) == len(model.variables["batch_stats"])
    np.testing.assert_allclose(scores["bn_distance"], -np.mean(distances, axis=0), rtol=1e-4)


def test_a_photo_alike_from_both_sides_has_a_cosine_of_one_and_a_grey_one_ignores_shifts(scalars):
    half = np.random.default_rng(1).integers(0, 256, (1, 112, 56, 3), np.uint8)
    symmetric = np.concatenate([half, half[:, :, ::-1]], axis=2)
    found = scalars(np.concatenate([symmetric, np.full_like(symmetric, 90)]))
    np.testing.assert_allclose(found["flip"], 1, atol=1e-5)
    assert found["jitter"][0] < 1 - 1e-3
    assert found["jitter"][1] == pytest.approx(1, abs=1e-5)


def test_it_is_an_extractor(scalars, images, scores):
    batches = [
        {"image": images[[5, 2]], "index": np.array([5, 2]), "_mask": np.array([True, True])},
        {"image": images[[1, 0]], "index": np.array([1, 0]), "_mask": np.array([True, False])},
    ]
    found = aad.extract(scalars, batches, len(images))
    assert set(found) == set(scores) == set(scalars.layers) <= set(BASELINES)
    for name, values in found.items():
        assert (values.shape, values.dtype) == ((7,), np.float32)
        np.testing.assert_allclose(values[[1, 2, 5]], scores[name][[1, 2, 5]], rtol=1e-5)
        np.testing.assert_array_equal(values[[0, 3, 4, 6]], 0)


def test_other_weights_in_the_same_program(model, scalars, embed, images, scores):
    variables = audited.randomised(model, 9).variables
    found, outcomes = (f.with_variables(variables)(images) for f in (scalars, embed))
    expected = np.linalg.norm(outcomes["outcome"], axis=1)
    np.testing.assert_allclose(found["norm"], expected, rtol=1e-5)
    assert not np.allclose(found["bn_distance"], scores["bn_distance"], rtol=0.1)


def test_an_onnx_network_has_no_batchnorm_distance(tmp_path, images):
    """The network is the mean colour: a mirror image has the same one."""
    node, value = helper.make_node, helper.make_tensor_value_info
    kernel = numpy_helper.from_array(np.eye(3, dtype=np.float32)[:, :, None, None], "k")
    nodes = [node("Conv", ["x", "k"], ["c"]), node("GlobalAveragePool", ["c"], ["g"])]
    nodes.append(node("Flatten", ["g"], ["y"]))
    inputs = [value("x", TensorProto.FLOAT, ["N", 3, 112, 112])]
    outputs = [value("y", TensorProto.FLOAT, ["N", 3])]
    graph = helper.make_graph(nodes, "colour", inputs, outputs, [kernel])
    path = tmp_path / "colour.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), path)
    found = Scalars(audited.load(path, audited.Preprocessing(0, 1)), per_device_batch=4)(images)
    assert set(found) == {"norm", "flip", "jitter"}
    np.testing.assert_allclose(found["flip"], 1, atol=1e-6)
    colours = images.mean(axis=(1, 2))
    np.testing.assert_allclose(found["norm"], np.linalg.norm(colours, axis=1), rtol=1e-5)
