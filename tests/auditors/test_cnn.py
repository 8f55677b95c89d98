"""The CNN auditor: its convolution against XLA's own, and what it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mint_jax.auditors import CNN
from mint_jax.auditors.cnn import PatchConv, _pool


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


def test_filters_and_layers():
    maps = jax.ShapeDtypeStruct((1, 28, 28, 16), np.float32)
    variables = jax.eval_shape(CNN("conv1").init, jax.random.key(0), maps)
    shapes = {k: v["kernel"].shape for k, v in _dense(variables["params"]).items()}
    assert shapes["PatchConv_0/Dense_0"] == (9 * 16, 64)
    assert shapes["PatchConv_1/Dense_0"] == (9 * 64, 128)
    assert shapes["Dense_0"] == (7 * 7 * 128, 64) and shapes["Dense_1"] == (64, 1)


def _dense(params, prefix=""):
    out = {}
    for name, value in params.items():
        if "kernel" in value:
            out[prefix + name] = value
        else:
            out |= _dense(value, f"{prefix}{name}/")
    return out


def test_learns_a_blob_that_moves(cnn_toy):
    fitted, features, labels, train, held = cnn_toy
    scores = fitted.predict(features)
    for p in range(len(fitted)):
        unseen = ~(train[p] | held[p])
        assert ((scores[p] > 0.5) == labels)[unseen].mean() > 0.85
