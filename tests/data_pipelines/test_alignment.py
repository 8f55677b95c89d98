"""Alignment, against OpenCV and closed forms."""

import cv2
import numpy as np
import pytest

from data_pipelines.alignment import TEMPLATE, align, placement, similarity
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


@pytest.mark.parametrize("scale", [0.1, 1, 7.5])
def test_a_perfect_face_lies_on_the_template_whatever_its_size(scale):
    found = placement(_apply(_transform(scale, 25, (12.5, -40)), TEMPLATE))
    assert found.residual == pytest.approx(0, abs=1e-9)
    assert found.eyes == pytest.approx(scale * np.hypot(*(TEMPLATE[1] - TEMPLATE[0])))


def test_residual_is_that_of_least_squares():
    rng = np.random.default_rng(1)
    for noise in (0.5, 3, 20):
        points = 2 * TEMPLATE + rng.normal(0, noise, (5, 2))
        x, y = points.T
        one, zero = np.ones(5), np.zeros(5)
        rows = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
        (squares,) = np.linalg.lstsq(rows, TEMPLATE.T.ravel(), rcond=None)[1]
        found = placement(points)
        assert found.residual == pytest.approx(np.sqrt(squares / 5))
        assert found.eyes == pytest.approx(np.linalg.norm(points[0] - points[1]))


def _umeyama(source, target):
    """Umeyama 1991, equations 40 to 43, for points in rows."""
    s, t = source - source.mean(0), target - target.mean(0)
    u, d, v = np.linalg.svd(t.T @ s / len(s))
    sign = np.array([1, np.sign(np.linalg.det(u) * np.linalg.det(v))])
    rotation = u * sign @ v
    matrix = d @ sign / s.var(0).sum() * rotation
    return np.column_stack([matrix, target.mean(0) - matrix @ source.mean(0)])


def _norm_crop(image, landmarks, size):
    """InsightFace's crop: its template is shifted where a side is told in multiples of 128."""
    target = TEMPLATE * size / 112 if size % 112 == 0 else (TEMPLATE + (8, 0)) * size / 128
    matrix = _umeyama(np.asarray(landmarks, float), target)
    return cv2.warpAffine(image, matrix, (size, size), borderValue=0)


def _apart(image, landmarks, size):
    """The largest difference in grey levels between `align` and InsightFace's crop."""
    crop = _norm_crop(image, landmarks, size).astype(int)
    return np.abs(align(image, landmarks, size) - crop).max()


@pytest.mark.parametrize("size", [112, 128, 224, 256, 896])
@pytest.mark.parametrize("scale", [0.3, 1, 1.7, 4.9, 12])
def test_as_norm_crop_at_every_scale_rotation_and_position(size, scale):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (480, 640, 3)).astype(np.uint8)
    for degrees in (-180, -95, -30, 0, 17, 90):
        middle = rng.uniform(-50, (690, 530))
        points = _apply(_transform(scale, degrees, (0, 0)), TEMPLATE - 56) + middle
        assert _apart(image, points, size) <= 1
        assert _apart(image, points + rng.normal(0, 4 * scale, (5, 2)), size) <= 1


@pytest.mark.parametrize("size", [112, 224])
def test_as_norm_crop_on_real_photos(test_data, size):
    model = str(test_data / "models" / "yunet_2023mar.onnx")
    detector = cv2.FaceDetectorYN.create(model, "", (250, 250), 0.6)
    paths = sorted((test_data / "faces" / "lfw10").glob("*/*.jpg"))
    assert len(paths) == 100
    for path in paths:
        photo = cv2.imread(str(path))
        face = max(detector.detect(photo)[1], key=lambda row: row[2] * row[3])
        assert _apart(photo, face[4:14].reshape(5, 2), size) <= 1
        assert align(photo, face[4:14].reshape(5, 2), size).mean() > 20


def test_mirrored_points_are_not_mirrored_back():
    matrix = similarity(TEMPLATE * (-1, 1), TEMPLATE)
    assert np.linalg.det(matrix[:, :2]) > 0


@pytest.mark.parametrize("points", [np.ones((5, 2)), np.full((5, 2), np.nan)])
def test_useless_landmarks_are_an_error(points):
    with pytest.raises(InputError, match="landmarks"):
        similarity(points, TEMPLATE)
    with pytest.raises(InputError, match="landmarks"):
        placement(points)


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
    found = align(noisy, (TEMPLATE + 0.5) * factor - 0.5, antialias=True)
    area = cv2.resize(noisy, (112, 112), interpolation=cv2.INTER_AREA)
    assert np.abs(found.astype(float) - area)[2:-2, 2:-2].mean() < 1.5
    warped = align(noisy, (TEMPLATE + 0.5) * factor - 0.5)
    assert np.abs(warped.astype(float) - area)[2:-2, 2:-2].mean() > 8


def test_faces_less_than_twice_as_large_are_not_averaged():
    image = np.random.default_rng(0).integers(0, 256, (300, 300, 3)).astype(np.uint8)
    points = TEMPLATE * 1.99 + 5
    np.testing.assert_array_equal(align(image, points, antialias=True), align(image, points))


def test_outside_of_the_photo_is_black():
    face = align(np.full((60, 60, 3), 200, np.uint8), TEMPLATE)
    assert face[:59, :59].min() == 200 and face[61:].max() == 0 and face[:, 61:].max() == 0
