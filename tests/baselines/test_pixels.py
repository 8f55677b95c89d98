"""The pixels-only baseline against OpenCV."""

import cv2
import numpy as np
import pytest

from mint_jax.baselines import pixel_features


@pytest.fixture(scope="module")
def images():
    """Smooth random pictures, uint8 (70, 112, 112, 3): more than one chunk."""
    rng = np.random.default_rng(0)
    noise = rng.uniform(0, 255, (70, 28, 28, 3)).astype(np.float32)
    return np.stack([cv2.resize(x, (112, 112)) for x in noise]).astype(np.uint8)


def test_coarse_pixels_and_colour(images):
    features = pixel_features(images)
    x = images.astype(np.float32) / 255
    coarse = [cv2.resize(i, (8, 8), interpolation=cv2.INTER_AREA).reshape(-1) for i in x]
    np.testing.assert_allclose(features[:, :192], coarse, atol=1e-5)
    colour = [x.mean((1, 2)), x.std((1, 2)), x.min((1, 2)), x.max((1, 2))]
    np.testing.assert_allclose(features[:, 192:204], np.concatenate(colour, 1), atol=1e-5)


def test_block_spectrum(images):
    features = pixel_features(images[:3])
    luma = images[:3].astype(np.float32) @ np.float32([0.299, 0.587, 0.114]) / 255
    for image, row in zip(luma, features):
        tops, lefts = range(0, 112, 8), range(0, 112, 8)
        blocks = [cv2.dct(image[y : y + 8, x : x + 8]) for y in tops for x in lefts]
        power = np.log(np.mean(np.square(blocks), axis=0) + 1e-8)
        np.testing.assert_allclose(row[204:268].reshape(8, 8), power, atol=1e-3)


def test_sharpness(images):
    features = pixel_features(images[:3])
    luma = images[:3].astype(np.float32) @ np.float32([0.299, 0.587, 0.114]) / 255
    for image, row in zip(luma, features):
        inner = cv2.Laplacian(image, cv2.CV_32F, ksize=1)[1:-1, 1:-1]
        np.testing.assert_allclose(row[268], np.log(np.mean(inner**2) + 1e-8), atol=1e-3)


def test_compression_shows_at_block_borders(images):
    def compress(image):
        data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 10])[1]
        return cv2.imdecode(data, cv2.IMREAD_COLOR)

    compressed = np.stack([compress(image) for image in images[:8]])
    plain, blocky = pixel_features(images[:8])[:, 269:], pixel_features(compressed)[:, 269:]
    assert (blocky > plain + 0.3).all()


def test_a_row_depends_on_its_image_alone(images):
    whole = pixel_features(images)
    np.testing.assert_array_equal(pixel_features(images[66:]), whole[66:])
