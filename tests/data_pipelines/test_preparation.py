"""From photos to faces: which landmarks count, re-encoding, and what tells preparations apart."""

import io
import json
import multiprocessing
import pickle

import cv2
import numpy as np
import pytest
from PIL import Image

from data_pipelines import images
from data_pipelines.alignment import TEMPLATE, UNPLACED, align, placement
from data_pipelines.errors import InputError
from data_pipelines.faces import Faces
from data_pipelines.preparation import Preparation

KNOWN, FOUND = TEMPLATE * 1.3 + 10, TEMPLATE * 1.6 + (4, 12)


def finds(image):
    """A detector that always finds the same face."""
    box = np.float32([[20, 20, 160, 180]])
    return Faces(box, np.float32(FOUND)[None], np.ones(1, np.float32))


def finds_nothing(image):
    return Faces(*(np.zeros(shape, np.float32) for shape in ((0, 4), (0, 5, 2), 0)))


def _noise(*shape, blur=0):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    return cv2.GaussianBlur(image, (0, 0), blur) if blur else image


PHOTO, ALIGNED = _noise(200, 220), _noise(112, 112)


def test_auto_takes_landmarks_that_are_known():
    prepare = Preparation(detector=finds)
    np.testing.assert_array_equal(prepare(PHOTO, KNOWN), align(PHOTO, KNOWN))
    np.testing.assert_array_equal(prepare(PHOTO), align(PHOTO, np.float32(FOUND)))
    np.testing.assert_array_equal(prepare(ALIGNED), ALIGNED)
    np.testing.assert_array_equal(prepare(ALIGNED, KNOWN), ALIGNED)


def test_always_takes_landmarks_that_are_detected():
    prepare = Preparation(align="always", detector=finds)
    for image in (PHOTO, ALIGNED):
        expected = align(image, np.float32(FOUND))
        np.testing.assert_array_equal(prepare(image, KNOWN), expected)
        np.testing.assert_array_equal(prepare(image), expected)
    assert np.abs(align(PHOTO, KNOWN).astype(int) - align(PHOTO, FOUND)).max() > 50


def test_never_only_resizes():
    prepare = Preparation(align="never", detector=finds)
    expected = cv2.resize(PHOTO, (112, 112), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(prepare(PHOTO, KNOWN), expected)
    np.testing.assert_array_equal(prepare(ALIGNED, KNOWN), ALIGNED)


def test_a_face_comes_with_how_it_lay_in_its_photo():
    profile = KNOWN + np.float64([[0, 0], [-9, 4], [6, 0], [0, 0], [-9, 0]])
    for quality in (None, 90):
        auto = Preparation(detector=finds, quality=quality)
        for landmarks in (KNOWN, profile):
            face, place = auto.placed(PHOTO, landmarks)
            assert place == placement(landmarks)
            np.testing.assert_array_equal(face, auto(PHOTO, landmarks))
        assert auto.placed(PHOTO)[1] == placement(np.float32(FOUND))
        assert auto.placed(ALIGNED)[1] is UNPLACED
    always = Preparation(align="always", detector=finds)
    assert always.placed(ALIGNED, KNOWN)[1] == placement(np.float32(FOUND))
    assert Preparation(align="never").placed(PHOTO, KNOWN)[1] is UNPLACED


def test_the_face_in_the_box_is_meant():
    def two(image):
        """Faces around the two brightest pixels, red and green."""
        corners = [np.argwhere(image[..., c] == 255)[:, ::-1] for c in (0, 1)]
        corner = np.concatenate(corners).astype(np.float32)
        marks = corner[:, None] + np.float32(TEMPLATE / 2)
        return Faces(np.hstack([corner, corner + 56]), marks, np.ones(len(corner), np.float32))

    photo = PHOTO // 2
    photo[10, 15, 0] = photo[110, 130, 1] = 255
    for align_as in ("auto", "always"):
        prepare = Preparation(align=align_as, detector=two)
        for corner in ([15, 10], [130, 110]):
            found = prepare(photo, box=np.array([*corner, corner[0] + 56, corner[1] + 56]))
            np.testing.assert_array_equal(found, align(photo, TEMPLATE / 2 + corner))
    with pytest.raises(InputError, match="no face was found where"):
        prepare(photo, box=np.array([150, 10, 200, 60]))


@pytest.mark.parametrize("quality", [1, 40, 95, 100])
def test_quality_is_that_of_other_encoders(quality):
    face = _noise(112, 112, blur=2)
    found = Preparation(align="never", quality=quality)(face).astype(int)
    _, data = cv2.imencode(".jpg", face[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    opencv = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(found, opencv)
    stream = io.BytesIO()
    Image.fromarray(face).save(stream, "JPEG", quality=quality)
    assert np.abs(found - np.asarray(Image.open(stream))).max() <= 2
    stream = io.BytesIO()
    Image.fromarray(face).save(
        stream, "JPEG", quality=quality + 20 if quality < 50 else quality - 20
    )
    assert np.abs(found - np.asarray(Image.open(stream))).max() > 2


def test_quality_follows_alignment():
    face = align(PHOTO, KNOWN)
    found = Preparation(quality=80)(PHOTO, KNOWN)
    np.testing.assert_array_equal(found, images.decode(images.encode_jpeg(face, 80)))


def test_antialiasing_of_large_photos():
    photo, marks = _noise(700, 700), TEMPLATE * 5 + 30
    smooth, sharp = Preparation()(photo, marks), Preparation(antialias=False)(photo, marks)
    np.testing.assert_array_equal(smooth, align(photo, marks, antialias=True))
    np.testing.assert_array_equal(sharp, align(photo, marks))
    assert smooth.std() < 0.5 * sharp.std()


def test_what_passes_through_is_said():
    assert Preparation().keeps((112, 112, 3))
    assert Preparation(align="never", antialias=False).keeps((112, 112, 3))
    assert not Preparation().keeps((112, 113, 3))
    assert not Preparation(align="always").keeps((112, 112, 3))
    assert not Preparation(quality=100).keeps((112, 112, 3))


def test_descriptions_tell_preparations_apart(tmp_path):
    files = [tmp_path / name for name in ("a.onnx", "b.onnx")]
    for file in files:
        file.touch()
    each = [{}, {"align": "always"}, {"align": "never"}, {"quality": 90}, {"quality": 91}]
    each += [{"antialias": False}, {"detector": finds}, {"detector": finds_nothing}]
    each += [{"detector": file} for file in files]
    described = [json.dumps(Preparation(**fields).describe()) for fields in each]
    assert len(set(described)) == len(each)
    assert Preparation(detector=str(files[0])).describe() == json.loads(described[-2])


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"align": "perhaps"}, "'perhaps'.*auto, always, never"),
        ({"quality": 0}, "quality is 0"),
        ({"quality": 101}, "quality is 101"),
        ({"detector": "nowhere/det.onnx"}, "nowhere/det.onnx: no such detector file"),
    ],
)
def test_mistakes_are_said_at_once(fields, message):
    with pytest.raises(InputError, match=message):
        Preparation(**fields)


def test_photos_without_a_usable_face():
    with pytest.raises(InputError, match="no face was found"):
        Preparation(detector=finds_nothing)(PHOTO)
    with pytest.raises(InputError, match="landmarks are not finite"):
        Preparation()(PHOTO, KNOWN * np.nan)
    with pytest.raises(InputError, match="all at one point"):
        Preparation()(PHOTO, np.ones((5, 2)))


def test_a_preparation_travels_to_a_worker_process(test_data):
    photo = cv2.imread(str(next((test_data / "faces" / "lfw10").glob("*/*.jpg"))))[..., ::-1]
    detector = test_data / "models" / "yunet_2023mar.onnx"
    prepare = Preparation(align="always", detector=detector, quality=90, antialias=False)
    face = prepare(photo)  # the detector is loaded, and must not travel
    copy = pickle.loads(pickle.dumps(prepare))
    assert copy == prepare and copy.describe() == prepare.describe()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        np.testing.assert_array_equal(pool.apply(prepare, (photo,)), face)
