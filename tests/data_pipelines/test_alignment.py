"""Alignment, against OpenCV and closed forms."""

import cv2
import numpy as np
import pytest

from data_pipelines.alignment import TEMPLATE, align, similarity
from data_pipelines.errors import InputError


def _transform(scale, degrees, shift):
    turn = np.radians(degrees)
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.column_stack([matrix, shift])


def _apply(matrix, points):
    return points @ matrix[:, :2].T + matrix[:, 2]


@pytest.mark.parametrize("scale", [0.1, 1, 7.5])
@pytest.mark.parametrize("degrees", [-170, -30, 0, 90])
def test_exact_correspondences_as_opencv(scale, degrees):
    truth = _transform(scale, degrees, (12.5, -40))
    points = _apply(truth, TEMPLATE)
    found = similarity(TEMPLATE, points)
    np.testing.assert_allclose(found, truth, atol=1e-9)
    opencv, _ = cv2.estimateAffinePartial2D(TEMPLATE, points, method=cv2.LMEDS)
    np.testing.assert_allclose(found, opencv, atol=1e-3)


def test_noisy_correspondences_are_least_squares():
    rng = np.random.default_rng(0)
    for _ in range(20):
        points = rng.normal(size=(5, 2)) * 30
        x, y = points.T
        one, zero = np.ones(5), np.zeros(5)
        rows = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
        a, b, c, d = np.linalg.lstsq(rows, TEMPLATE.T.ravel(), rcond=None)[0]
        np.testing.assert_allclose(similarity(points, TEMPLATE), [[a, -b, c], [b, a, d]])


def test_mirrored_points_are_not_mirrored_back():
    matrix = similarity(TEMPLATE * (-1, 1), TEMPLATE)
    assert np.linalg.det(matrix[:, :2]) > 0


@pytest.mark.parametrize("points", [np.ones((5, 2)), np.full((5, 2), np.nan)])
def test_useless_landmarks_are_an_error(points):
    with pytest.raises(InputError, match="landmarks"):
        similarity(points, TEMPLATE)


@pytest.mark.parametrize("size", [56, 112, 224])
def test_landmarks_land_on_the_template(size):
    truth = _transform(2.2, 25, (150, 60))
    points = _apply(truth, TEMPLATE)
    for point, target in zip(points, TEMPLATE * size / 112):
        image = np.zeros((400, 400, 3), np.uint8)
        cv2.circle(image, np.round(point * 8).astype(int).tolist(), 80, (255,) * 3, -1, shift=3)
        light = align(image, points, size)[..., 0].astype(float)
        y, x = np.mgrid[:size, :size]
        middle = np.array([(x * light).sum(), (y * light).sum()]) / light.sum()
        np.testing.assert_allclose(middle, target, atol=0.15 * max(1, size / 112))


@pytest.mark.parametrize("factor", [2.5, 5])
def test_large_photos_are_averaged_down(factor):
    rng = np.random.default_rng(0)
    small = cv2.GaussianBlur(rng.integers(0, 256, (112, 112, 3)).astype(np.uint8), (0, 0), 3)
    side = int(112 * factor)
    large = cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)
    noisy = np.clip(large + rng.normal(0, 40, large.shape), 0, 255).astype(np.uint8)
    found = align(noisy, (TEMPLATE + 0.5) * factor - 0.5)
    area = cv2.resize(noisy, (112, 112), interpolation=cv2.INTER_AREA)
    assert np.abs(found.astype(float) - area)[2:-2, 2:-2].mean() < 1.5
    matrix = similarity((TEMPLATE + 0.5) * factor - 0.5, TEMPLATE)
    warped = cv2.warpAffine(noisy, matrix, (112, 112))
    assert np.abs(warped.astype(float) - area)[2:-2, 2:-2].mean() > 8


def test_outside_of_the_photo_is_black():
    face = align(np.full((60, 60, 3), 200, np.uint8), TEMPLATE)
    assert face[:59, :59].min() == 200 and face[61:].max() == 0 and face[:, 61:].max() == 0
