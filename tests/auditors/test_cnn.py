"""The CNN auditor: its convolution against XLA's own, and what it learns from layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from mint_jax import auditors
from mint_jax.auditors import CNN, FitConfig, fit_population
from mint_jax.auditors.cnn import PatchConv, _pool
from mint_jax.errors import InputError


def _xla(kernel, bias, x, stride):
    pad = kernel.shape[0] // 2
    dimensions = ("NHWC", "HWIO", "NHWC")
    return (
        jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), [(pad, pad)] * 2, dimension_numbers=dimensions
        )
        + bias
    )


@pytest.mark.parametrize("kernel, stride, side", [(3, 2, 7), (3, 1, 4), (5, 2, 8)])
def test_patches_are_a_convolution_and_so_are_their_gradients(kernel, stride, side):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, side, side + 1, 3)).astype(np.float32)
    conv = PatchConv(4, kernel, stride)
    weights = rng.normal(size=(kernel, kernel, 3, 4)).astype(np.float32)
    bias = rng.normal(size=4).astype(np.float32)

    def ours(w, x):
        dense = {"kernel": w.reshape(-1, 4), "bias": bias}
        return conv.apply({"params": {"Dense_0": dense}}, x)

    def theirs(w, x):
        return _xla(w, bias, x, stride)

    @jax.jit
    def results(w, x):
        out = []
        for f in (ours, theirs):
            y, pull = jax.vjp(f, w, x)
            out.append((y, *pull(jnp.sin(jnp.arange(y.size)).reshape(y.shape))))
        return out

    for actual, expected in zip(*results(weights, x)):
        np.testing.assert_allclose(actual, expected, atol=1e-4)


def test_pool_takes_maxima_of_windows_and_leaves_small_maps():
    x = np.arange(2 * 5 * 4, dtype=np.float32).reshape(2, 5, 4, 1)
    expected = x[:, 1:4:2, 1:4:2]
    np.testing.assert_array_equal(_pool(x, 2), expected)
    assert _pool(x, 6) is x


def _shapes(module, **maps):
    """{path: shape} of the variables that read one map, or several by layer."""
    example = {k: jax.ShapeDtypeStruct((1, *shape), np.float32) for k, shape in maps.items()}
    example = example if len(maps) > 1 else example[module.layer]
    leaves = jax.tree.leaves_with_path(jax.eval_shape(module.init, jax.random.key(0), example))
    return {jax.tree_util.keystr(path, simple=True, separator="/"): x.shape for path, x in leaves}


def test_filters_and_names_of_exported_auditors():
    assert _shapes(CNN("conv1"), conv1=(28, 28, 16)) == {
        "normalisation/input/mean": (16,),
        "normalisation/input/scale": (16,),
        "params/Dense_0/bias": (64,),
        "params/Dense_0/kernel": (7 * 7 * 128, 64),
        "params/Dense_1/bias": (1,),
        "params/Dense_1/kernel": (64, 1),
        "params/PatchConv_0/Dense_0/bias": (64,),
        "params/PatchConv_0/Dense_0/kernel": (9 * 16, 64),
        "params/PatchConv_1/Dense_0/bias": (128,),
        "params/PatchConv_1/Dense_0/kernel": (9 * 64, 128),
    }


def test_filters_and_names_of_several_layers():
    kernels = {
        path.removeprefix("params/"): shape
        for path, shape in _shapes(CNN("all_conv"), conv1=(28, 28, 16), conv4=(7, 5, 32)).items()
        if path.endswith("kernel") or "mean" in path
    }
    assert kernels == {
        "normalisation/input/conv1/mean": (16,),
        "normalisation/input/conv4/mean": (32,),
        "Dense_0/kernel": ((7 * 7 + 2 * 2) * 128, 64),
        "Dense_1/kernel": (64, 1),
        "PatchConv_0/Dense_0/kernel": (9 * 16, 64),
        "PatchConv_1/Dense_0/kernel": (9 * 64, 128),
        "PatchConv_2/Dense_0/kernel": (9 * 32, 64),
        "PatchConv_3/Dense_0/kernel": (9 * 64, 128),
    }


def test_several_layers_are_joined_behind_their_own_convolutions():
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    maps = {"conv2": draw(3, 9, 7, 4), "conv10": draw(3, 4, 4, 6)}
    module = CNN("all_conv", filters=(5, 8), hidden=7)
    shapes = jax.eval_shape(module.init, jax.random.key(0), maps)
    variables = jax.tree.map(lambda s: draw(*s.shape), shapes)
    params, norm = variables["params"], variables["normalisation"]["input"]
    flat = []
    for layer, pair in (("conv10", (0, 1)), ("conv2", (2, 3))):  # alphabetically
        x = (maps[layer] - norm[layer]["mean"]) * norm[layer]["scale"]
        for i in pair:
            dense = params[f"PatchConv_{i}"]["Dense_0"]
            kernel = dense["kernel"].reshape(3, 3, x.shape[-1], -1)
            padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
            windows = sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::2, ::2]
            x = np.maximum(np.einsum("bhwcij,ijcf->bhwf", windows, kernel) + dense["bias"], 0)
        flat.append(x.reshape(3, -1))
    first, second = params["Dense_0"], params["Dense_1"]
    hidden = np.maximum(np.concatenate(flat, axis=1) @ first["kernel"] + first["bias"], 0)
    expected = (hidden @ second["kernel"] + second["bias"])[:, 0]
    actual = jax.jit(module.apply)(variables, maps)[0]
    np.testing.assert_allclose(actual, expected, rtol=2e-4, atol=1e-3)


def test_learns_a_blob_that_moves(cnn_toy):
    fitted, features, labels, train, held = cnn_toy
    scores = fitted.predict(features)
    for p in range(len(fitted)):
        unseen = ~(train[p] | held[p])
        assert ((scores[p] > 0.5) == labels)[unseen].mean() > 0.85


N, TRAIN, HELD = 1000, 420, 80
UNSEEN = slice(TRAIN + HELD, None)
BOTH = CNN("all_conv", filters=(16, 16), hidden=32)


@pytest.fixture(scope="module")
def layers():
    """(maps of two layers, the sign that each shows in one channel); the signs are independent."""
    rng = np.random.default_rng(0)
    signs = {"conv1": np.tile([1, 1, -1, -1], N // 4), "conv3": np.tile([1, -1], N // 2)}
    maps = {
        "conv1": rng.normal(3, 2, size=(N, 6, 6, 3)).astype(np.float32),
        "conv3": rng.normal(size=(N, 4, 4, 5)).astype(np.float32),
    }
    maps["conv1"][..., 1] += 3 * signs["conv1"][:, None, None]
    maps["conv3"][..., 1] += 1.5 * signs["conv3"][:, None, None]
    return maps, signs


def _parts(count=1):
    rows = np.repeat(np.arange(N)[None], count, axis=0)
    return rows < TRAIN, (rows >= TRAIN) & (rows < TRAIN + HELD)


@pytest.fixture(scope="module")
def combination(layers):
    """(population of 2, their labels): what conv3 shows, and the product, which no layer shows."""
    maps, signs = layers
    labels = np.stack([signs["conv3"], signs["conv1"] * signs["conv3"]]) > 0
    config = FitConfig(epochs=12, patience=12)
    return fit_population(BOTH, maps, labels, *_parts(2), [1, 2], config), labels


def test_learns_what_one_layer_shows_and_what_only_two_show_together(layers, combination):
    fitted, labels = combination
    for scores, own in zip(fitted.predict(layers[0]), labels):
        assert ((scores > 0.5) == own)[UNSEEN].mean() > 0.95


@pytest.mark.parametrize("layer, informed", [("conv1", [True, False]), ("conv3", [False, False])])
def test_maps_of_other_images_in_one_layer(layers, combination, layer, informed):
    """Only what the other layer shows is left: nothing, of the product."""
    maps, (fitted, labels) = layers[0], combination
    others = np.random.default_rng(1).permutation(N - TRAIN - HELD)
    maps = {k: v[UNSEEN][others] if k == layer else v[UNSEEN] for k, v in maps.items()}
    for scores, own, expected in zip(fitted.predict(maps), labels[:, UNSEEN], informed):
        auc = roc_auc_score(own, scores)
        assert auc > 0.95 if expected else abs(auc - 0.5) < 3 * np.sqrt(1 / (3 * len(own)))


def test_each_layer_is_standardised_with_its_training_rows(layers, combination):
    norm = combination[0].variables[0]["normalisation"]["input"]
    for layer, maps in layers[0].items():
        rows = maps[:TRAIN].reshape(-1, maps.shape[-1]).astype(np.float64)
        scaler = StandardScaler().fit(rows)
        np.testing.assert_allclose(norm[layer]["mean"], scaler.mean_, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(norm[layer]["scale"], 1 / scaler.scale_, rtol=1e-5)


def test_several_layers_train_alike_on_the_device_and_handed_over(layers, combination, tmp_path):
    maps, labels = layers[0], combination[1][1]
    mapped = np.memmap(tmp_path / "conv1", np.float32, "w+", shape=maps["conv1"].shape)
    mapped[:] = maps["conv1"]
    resident, *handed_over = (
        fit_population(BOTH, features, labels, *_parts(), [2], config).predict(maps)
        for features, config in (
            (maps, FitConfig(epochs=2)),
            (maps, FitConfig(epochs=2, place="host")),
            (maps | {"conv1": mapped}, FitConfig(epochs=2, place="store")),
        )
    )
    for scores in handed_over:
        np.testing.assert_allclose(scores, resident, atol=1e-5)


def test_an_exported_auditor_of_several_layers_scores_the_same_bits(layers, combination, tmp_path):
    maps, fitted = layers[0], combination[0]
    auditors.save(fitted.auditor(1, audited_sha256="0"), tmp_path)
    loaded = auditors.load(tmp_path)
    assert loaded.layers == ("conv1", "conv3") and loaded.reduce == "map"
    aad = {"outcome": np.zeros((N, 4), np.float32), **dict(reversed(maps.items()))}
    np.testing.assert_array_equal(loaded.score(aad), fitted.predict(maps)[1])


def test_a_layer_that_is_absent_or_of_another_shape(layers, combination):
    maps, fitted = layers[0], combination[0]
    auditor = fitted.auditor(0, audited_sha256="0")
    for score in (auditor.score, fitted.predict):
        with pytest.raises(InputError, match="reads conv3; the AAD has conv1, conv2$"):
            score({"conv1": maps["conv1"], "conv2": maps["conv3"]})
        with pytest.raises(InputError, match="reads conv3 as"):
            score(maps | {"conv3": maps["conv3"][:, :3]})


def test_layers_of_other_numbers_of_rows(layers, combination):
    maps, labels = layers[0], combination[1][0]
    with pytest.raises(InputError, match=r"\(999, 4, 4, 5\) cannot belong to 1000 labels"):
        short = maps | {"conv3": maps["conv3"][1:]}
        fit_population(BOTH, short, labels, *_parts(), [0])
