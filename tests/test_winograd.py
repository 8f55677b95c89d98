"""Winograd's convolutions against a closed form and XLA's own."""

import jax
import numpy as np
import pytest

from mint_jax import winograd


def xla(x, kernel):
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), [(1, 1)] * 2, dimension_numbers=numbers)


def convolve(x, kernel, side=4, axes=2):
    return winograd.convolve(x, winograd.transformed(kernel, side, axes))


@pytest.mark.parametrize("points", [(0, 1, -1), (0, 0.5, -2, 1), (0, 3 / 4, -3 / 4, 3 / 2, -3 / 2)])
def test_matrices_correlate(points):
    ahead, weights, back = winograd.matrices(points)
    x, g = np.random.default_rng(0).standard_normal((2, len(points) + 1))
    found = back @ ((ahead @ x) * (weights @ g[:3]))
    np.testing.assert_allclose(found, np.correlate(x, g[:3]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("side", [2, 4])
@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 7, 5), (1, 1, 9), (8, 28, 28)])
def test_convolution_in_float64(shape, side, axes):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((*shape, 3))
    kernel = rng.standard_normal((3, 3, 3, 5))
    with jax.enable_x64(True):
        found = convolve(x, kernel, side, axes)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, xla(x, kernel), rtol=0, atol=1e-12)


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize(("side", "error"), [(2, 2e-6), (4, 5e-6)])
def test_error_in_float32(side, error, axes):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 12, 12, 128)).astype("f")
    kernel = rng.standard_normal((3, 3, 128, 32)).astype("f")
    with jax.enable_x64(True):
        expected = np.asarray(xla(np.float64(x), np.float64(kernel)))
    found = np.asarray(convolve(x, kernel, side, axes))
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < error * np.abs(expected).max()


@pytest.mark.parametrize("axes", [1, 2])
def test_gradients_are_those_of_the_convolution(axes):
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((4, 6, 5, 3)), rng.standard_normal((3, 3, 3, 2))
    with jax.enable_x64(True):
        expected, pull_back = jax.vjp(xla, x, kernel)
        _, own_pull_back = jax.vjp(lambda *given: convolve(*given, axes=axes), x, kernel)
        for a, b in zip(own_pull_back(expected), pull_back(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)
