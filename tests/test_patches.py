"""Convolutions over patches against XLA's own, and their gradients."""

import jax
import numpy as np
import pytest

from mint_jax import patches


@pytest.mark.parametrize(("height", "width"), [(5, 4), (2, 2), (1, 3)])
@pytest.mark.parametrize("side", [1, 3])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_and_its_gradients(height, width, side, stride):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, height, width, 3)).astype("f")
    kernel = rng.standard_normal((side, side, 3, 5)).astype("f")

    def own(x, kernel):
        return patches.convolve(x, kernel, stride)

    def xla(x, kernel):
        padding = [(side // 2, side // 2)] * 2
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), padding, dimension_numbers=numbers
        )

    expected, pull_back = jax.vjp(xla, x, kernel)
    found, own_pull_back = jax.vjp(own, x, kernel)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    cotangent = rng.standard_normal(expected.shape).astype("f")
    for a, b in zip(own_pull_back(cotangent), pull_back(cotangent)):
        np.testing.assert_allclose(a, b, atol=1e-5)
