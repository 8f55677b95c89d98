"""Detectors: two independent ones agree on real photos."""

import cv2
import numpy as np
import pytest

from data_pipelines import detection, images
from data_pipelines.detection import Lazy, YuNet, find_landmarks, limited
from data_pipelines.errors import InputError
from data_pipelines.faces import Faces
from data_pipelines.mtcnn import MTCNN, suppress

PARTS = np.float32([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])


def _faces(*boxes):
    boxes = np.float32(boxes).reshape(-1, 4)
    marks = np.arange(len(boxes), dtype=np.float32)[:, None, None] + np.zeros((1, 5, 2))
    return Faces(boxes, marks, np.ones(len(boxes), np.float32))


def test_the_large_face_near_the_middle_is_chosen():
    small, large, corner = (45, 45, 55, 55), (30, 30, 75, 75), (0, 0, 30, 30)
    assert detection.landmarks(_faces(small, large, corner), (100, 100, 3))[0, 0] == 1
    assert detection.landmarks(_faces(corner, small), (100, 100))[0, 0] == 1
    with pytest.raises(InputError, match="no face"):
        detection.landmarks(_faces(), (100, 100))


def test_large_photos_are_detected_on_a_smaller_copy():
    sizes = []

    def detector(image):
        sizes.append(image.shape[:2])
        return Faces(*(np.ones(shape, np.float32) for shape in ((1, 4), (1, 5, 2), (1,))))

    faces = limited(detector, np.zeros((900, 1600, 3), np.uint8), longest=400)
    assert sizes == [(225, 400)]
    np.testing.assert_allclose(faces.boxes, 4)
    np.testing.assert_allclose(faces.landmarks, 4)
    limited(detector, np.zeros((300, 400, 3), np.uint8), longest=400)
    assert sizes[1] == (300, 400)


def test_photos_of_a_pixels_width_are_not_made_smaller():
    sizes = []
    limited(lambda image: sizes.append(image.shape[:2]), np.zeros((1, 900, 3), np.uint8), 400)
    assert sizes == [(1, 900)]


def bright(image):
    """A detector that sees a face in every bright rectangle."""
    mask = (image[..., 0] > 100).astype(np.uint8)
    corners = cv2.connectedComponentsWithStats(mask)[2][1:, :4].astype(np.float32)
    boxes = np.hstack([corners[:, :2], corners[:, :2] + corners[:, 2:]])
    marks = corners[:, None, :2] + corners[:, None, 2:] * PARTS
    return Faces(boxes, marks, np.ones(len(boxes), np.float32))


def _photo_of(*boxes):
    photo = np.zeros((300, 400, 3), np.uint8)
    for left, top, right, bottom in boxes:
        photo[top:bottom, left:right] = 200
    return photo


@pytest.mark.parametrize("move", [0, 8.4])
def test_the_face_in_the_box_is_found(move):
    boxes = (0, 10, 60, 90), (150, 100, 260, 220), (270, 120, 330, 200), (340, 210, 400, 300)
    photo = _photo_of(*boxes)
    for left, top, right, bottom in boxes:
        box = np.array([left, top, right, bottom]) + move
        expected = (left, top) + PARTS * (right - left, bottom - top)
        found = find_landmarks(bright, photo, box)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    chosen = find_landmarks(bright, photo)
    np.testing.assert_allclose(chosen, (150, 100) + PARTS * (110, 120), rtol=1e-6)


def test_no_face_in_the_box():
    photo = _photo_of((150, 100, 260, 220))
    for box in [(20, 20, 80, 80), (240, 90, 300, 150)]:  # nothing near; a corner of another face
        with pytest.raises(InputError, match="no face was found where the database has one"):
            find_landmarks(bright, photo, np.array(box))
    for box in [(500, 20, 560, 80), (-90, -90, -30, -30), (10, 400, 50, 440)]:
        with pytest.raises(InputError, match="the box of the face lies outside of the image"):
            find_landmarks(bright, photo, np.array(box))
    for number in (np.nan, np.inf):
        with pytest.raises(InputError, match="box of the face is not finite"):
            find_landmarks(bright, photo, np.array([20, 20, number, 80]))
    with pytest.raises(InputError, match="no face was found$"):
        find_landmarks(bright, _photo_of())


def test_the_person_in_the_box_is_found_on_a_real_photo(test_data, photos):
    yunet = YuNet(test_data / "models" / "yunet_2023mar.onnx")
    pair = [photo for photo in photos if photo.shape[:2] == (250, 250)][:2]
    both = np.hstack(pair)
    for n, photo in enumerate(pair):
        alone = yunet(photo)
        best = np.prod(alone.boxes[:, 2:] - alone.boxes[:, :2], axis=1).argmax()
        found = find_landmarks(MTCNN(), both, alone.boxes[best] + np.float32([250 * n, 0] * 2))
        eyes = np.linalg.norm(alone.landmarks[best, 0] - alone.landmarks[best, 1])
        off = np.linalg.norm(found - (250 * n, 0) - alone.landmarks[best], axis=1).mean()
        assert off < 0.3 * eyes


def test_suppression_as_opencv():
    rng = np.random.default_rng(0)
    for _ in range(20):
        corner, sides = rng.integers(0, 50, (30, 2)), rng.integers(5, 40, (30, 2))
        scores = rng.permutation(30) / 30 + 0.01
        boxes = np.hstack([corner, corner + sides]).astype(float)
        opencv = cv2.dnn.NMSBoxes(np.hstack([corner, sides]).tolist(), scores.tolist(), 0.0, 0.4)
        assert suppress(boxes, scores, 0.4).tolist() == list(opencv)


def test_suppression_by_the_smaller_box():
    boxes = np.array([[0, 0, 10, 10], [2, 2, 5, 5], [20, 20, 30, 30.0]])
    scores = np.array([0.8, 0.9, 0.7])
    assert suppress(boxes, scores, 0.5).tolist() == [1, 0, 2]
    assert suppress(boxes, scores, 0.5, of_smaller=True).tolist() == [1, 2]


@pytest.mark.parametrize("shape", [(112, 112, 3), (8, 300, 3), (1, 1, 3)])
@pytest.mark.parametrize("value", [0, 255])
def test_no_face_in_an_empty_picture(shape, value):
    faces = Lazy(None)(np.full(shape, value, np.uint8))
    assert [part.shape for part in faces] == [(0, 4), (0, 5, 2), (0,)]


def test_detector_files_that_are_none(tmp_path):
    path = tmp_path / "detector.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(InputError, match="detector.onnx: not a YuNet"):
        YuNet(path)


@pytest.fixture(scope="module")
def photos(test_data, full):
    """Photos of two collections; all of the smaller one where the stated counts are asked for."""
    lfw = sorted((test_data / "faces" / "lfw10").glob("*/*.jpg"))[:: 1 if full else 10]
    crops = sorted((test_data / "faces" / "utkface_adults").glob("*.jpg"))
    return [images.decode(path.read_bytes()) for path in lfw + crops[:: 60 if full else 600]]


def test_two_detectors_agree_on_real_photos(test_data, photos):
    yunet, mtcnn = YuNet(test_data / "models" / "yunet_2023mar.onnx"), MTCNN()
    apart = []
    for photo in photos:
        ours, theirs = (detection.landmarks(d(photo), photo.shape) for d in (mtcnn, yunet))
        eyes = np.linalg.norm(theirs[0] - theirs[1])
        apart.append(np.linalg.norm(ours - theirs, axis=1).mean() / eyes)
    assert np.median(apart) < 0.12 and max(apart) < 0.3


def test_a_face_that_touches_the_border_is_found(photos):
    photo = photos[0]
    marks = detection.landmarks(MTCNN()(photo), photo.shape)
    left = int(marks[0, 0] - 0.6 * (marks[1, 0] - marks[0, 0]))
    cut = np.ascontiguousarray(photo[:, left:])
    moved = detection.landmarks(MTCNN()(cut), cut.shape) + (left, 0)
    assert np.abs(moved - marks).max() < 0.15 * (marks[1, 0] - marks[0, 0])
