"""IResNet: what the import's comparison with onnxruntime does not show."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mint_jax import audited, patches, winograd
from mint_jax.audited import iresnet_model
from mint_jax.audited.iresnet import PReLU, iresnet, preparation
from mint_jax.errors import InputError


@pytest.mark.parametrize("size", [112, 100, 48])
def test_stage_ends_halve_the_image(size):
    network = iresnet("iresnet34", width=0.25, embedding_size=7)
    x = jnp.zeros((3, size, size, 3))
    (embedding, taps), _ = jax.eval_shape(network.init_with_output, jax.random.key(0), x)
    sides = [-(-size // 2**stage) for stage in range(1, 5)]
    assert embedding.shape == (3, 7)
    found = [taps[f"conv{stage}"].shape for stage in range(1, 5)]
    assert found == [(3, s, s, c) for s, c in zip(sides, (16, 32, 64, 128), strict=True)]


def test_bfloat16_computes_in_it_and_keeps_parameters_in_float32():
    x = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 3)), jnp.float32)
    architecture = {"name": "iresnet18", "width": 0.125, "input_size": 16}
    single, half = (
        iresnet("iresnet18", width=0.125, dtype=dtype) for dtype in ("float32", "bfloat16")
    )
    variables = iresnet_model.init(architecture, seed=0)
    shapes = jax.eval_shape(half.init, jax.random.key(0), x)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}
    expected, _ = jax.jit(single.apply)(variables, x)
    found, taps = jax.jit(half.apply)(variables, x)
    assert taps["conv1"].dtype == jnp.bfloat16 and found.dtype == jnp.float32
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert 1e-5 < error < 0.05


def test_prelu_has_a_slope_a_channel():
    x = jnp.array([[-2.0, -2.0, 2.0]])
    slopes = {"params": {"slope": jnp.array([0.1, 0.5, 0.9])}}
    np.testing.assert_allclose(PReLU().apply(slopes, x), [[-0.2, -1.0, 2.0]])


def test_unknown_depths():
    with pytest.raises(InputError, match="iresnet101.*iresnet18.*iresnet200"):
        iresnet("iresnet101")


def test_small_maps_are_trained_as_large_ones_are(monkeypatch):
    """On a CPU they take another path; embeddings, gradients and statistics are the same."""
    module = iresnet("iresnet18", width=1 / 16, embedding_size=8)
    x = np.random.default_rng(0).standard_normal((8, 28, 28, 3)).astype("f")
    variables = module.init(jax.random.key(0), x)
    statistics = variables["batch_stats"]

    def trained():
        def loss(params):
            given = {"params": params, "batch_stats": statistics}
            (y, _), updates = module.apply(given, x, train=True, mutable=["batch_stats"])
            return (y**2 * np.arange(8)).sum(), updates

        return jax.grad(loss, has_aux=True)(variables["params"])

    found = trained()
    monkeypatch.setattr(sys.modules[type(module).__module__], "_SMALL", 0)
    for a, b in zip(*map(jax.tree.leaves, (found, trained())), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4 * max(1, np.abs(b).max()))


def test_inference_by_winograd_is_that_of_the_library(monkeypatch):
    """Both sizes of tiles; where kernels are kept, four images at a time in the first stage.

    Training does not take it.
    """
    architecture = {"name": "iresnet18", "width": 1 / 16, "embedding_size": 8, "input_size": 56}
    model = iresnet_model.make(architecture, iresnet_model.init(architecture, 0))
    module = iresnet("iresnet18", width=1 / 16, embedding_size=8)
    x = np.random.default_rng(0).standard_normal((8, 56, 56, 3)).astype("f")
    sides, kernels, together = [], [], []

    def convolve(x, transformed):
        sides.append((x.shape[1], len(transformed) - 2))
        together.append(len(x))
        return original[0](x, transformed)

    def transform(kernel, side, axes):
        kernels.append(kernel)
        return original[1](kernel, side, axes)

    original = winograd.convolve, winograd.transformed
    monkeypatch.setattr(winograd, "convolve", convolve)
    monkeypatch.setattr(winograd, "transformed", transform)
    expected = module.apply(model.variables, x)
    assert not sides and model.prepare(model.variables, 8) is model.variables
    monkeypatch.setattr(sys.modules[type(module).__module__], "_MANY", 4)
    jax.eval_shape(lambda: module.apply(model.variables, x, train=True, mutable=["batch_stats"]))
    assert not sides and set(module.init(jax.random.key(0), x)) == {"params", "batch_stats"}
    found = [module.apply(model.variables, x)]
    assert set(sides) == {(56, 4), (28, 4), (14, 2)}
    assert set(together) == {8}
    model.prepare(iresnet_model.init(architecture, 1), 8)
    kernels.clear(), together.clear()
    variables = model.prepare(model.variables, 4)  # by the program of the others
    found.append(module.apply(variables, x))
    assert not kernels and set(together) == {4, 8}
    for values in found:
        for a, b in zip(*map(jax.tree.leaves, (values, expected)), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())


def test_one_image_alone_has_tiles_along_one_axis(monkeypatch):
    """On smaller maps; kernels that were prepared for more images serve it too."""
    module = iresnet("iresnet18", width=1 / 16, embedding_size=8)
    x = np.random.default_rng(0).standard_normal((1, 112, 112, 3)).astype("f")
    variables = module.init(jax.random.key(0), x)
    expected, taken, original = module.apply(variables, x), set(), winograd.convolve

    def convolve(x, kernels):
        taken.add((x.shape[1], len(kernels) - 2, kernels.shape[1] == len(kernels)))
        return original(x, kernels)

    monkeypatch.setattr(winograd, "convolve", convolve)
    monkeypatch.setattr(sys.modules[type(module).__module__], "_MANY", 4)
    prepared = preparation(module, 112)
    large = {(112, 4, True), (56, 4, True), (28, 4, True)}
    for given, both in (
        (variables, False),
        (prepared(variables, 1), False),
        (prepared(variables, 2), True),
    ):
        taken.clear()
        found = module.apply(given, x)
        assert taken == large | {(14, 2, both)}
        for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())


def test_small_results_are_products_in_inference(monkeypatch):
    module = iresnet("iresnet18", width=1 / 16, embedding_size=8)
    x = np.random.default_rng(0).standard_normal((2, 56, 56, 3)).astype("f")
    variables = module.init(jax.random.key(0), x)
    expected, products, original = module.apply(variables, x), set(), patches.convolve

    def convolve(x, kernel, stride):
        products.add((x.shape[1], stride))
        return original(x, kernel, stride)

    monkeypatch.setattr(patches, "convolve", convolve)
    monkeypatch.setattr(sys.modules[type(module).__module__], "_MANY", 4)
    found = module.apply(variables, x)
    assert products == {(14, 2), (7, 1), (7, 2), (4, 1)}
    for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())
    products.clear()
    jax.eval_shape(lambda: module.apply(variables, x, train=True, mutable=["batch_stats"]))
    assert products == {(4, 1)}


def test_the_embedded_network_and_bfloat16_keep_the_library(monkeypatch):
    def forbidden(*args):
        raise AssertionError(args)

    monkeypatch.setattr(winograd, "convolve", forbidden)
    architecture = audited.load("embedded").architecture
    for changes in (architecture, {"name": "iresnet18", "width": 1.0, "input_size": 112}):
        dtype = "float32" if changes is architecture else "bfloat16"
        network = iresnet(changes["name"], width=changes["width"], dtype=dtype)
        x = jnp.zeros((1, changes["input_size"], changes["input_size"], 3))
        jax.eval_shape(network.init_with_output, jax.random.key(0), x)
