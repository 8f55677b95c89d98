"""Uploaded files: what is refused and why, and that faces are those that an audit would read."""

import io
import struct
import tempfile
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageSequence

from data_pipelines import detection, uploads
from data_pipelines.alignment import TEMPLATE, UNPLACED
from data_pipelines.faces import Faces
from data_pipelines.preparation import Preparation

KINDS = ("JPEG", "PNG", "WEBP")


def _picture(mode="RGB", size=(60, 40)):
    x, y = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]))
    rgb = np.stack([x, y, (1 - x) * y], -1) * 255
    return Image.fromarray(rgb.astype(np.uint8)).convert(mode)


def _file(picture, kind, **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _code(data):
    with pytest.raises(uploads.UploadError) as refused:
        uploads.decode(data)
    assert "\n" not in str(refused.value)
    return refused.value.code


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width, height, *chunks):
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + _chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("orientation", (1, 6, 8))
def test_photos_stand_upright(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "a description that nobody reads"
    found = uploads.decode(_file(_picture(), kind, exif=exif))
    turned = {1: 0, 6: -1, 8: 1}[orientation]
    expected = np.rot90(np.asarray(_picture()), turned)
    assert found.shape == expected.shape and np.abs(found - expected.astype(int)).mean() < 3


@pytest.mark.parametrize(
    "mode, kind, options",
    [
        ("L", "JPEG", {}),
        ("CMYK", "JPEG", {}),
        ("RGB", "JPEG", {"progressive": True}),
        ("LA", "PNG", {}),
        ("P", "PNG", {}),
        ("RGBA", "PNG", {}),
        ("RGBA", "WEBP", {}),
        ("RGB", "WEBP", {"lossless": True}),
    ],
)
def test_kinds_of_pixels(mode, kind, options):
    data = _file(_picture(mode), kind, **options)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), int)
    assert np.abs(uploads.decode(data) - expected).max() <= 4


def test_sixteen_bits_become_eight():
    values = (np.arange(40 * 30).reshape(30, 40) * 54).astype(np.uint16)
    found = uploads.decode(_file(Image.fromarray(values), "PNG"))
    assert np.abs(found - (values / 257)[..., None]).max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_what_follows_an_image_is_not_looked_at(kind):
    data = _file(_picture(), kind)
    archive = b"PK\x03\x04<script>alert(1)</script>" * 100
    assert (uploads.decode(data + archive) == uploads.decode(data)).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", (0, 0.01, 0.05, 0.3, 0.6, 0.95))
def test_what_was_cut_off_is_no_photo(kind, share):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    data = _file(noise, kind)
    assert _code(data[: int(share * len(data))]) in ("damaged", "not_an_image")


def test_pixels_are_counted_before_they_are_decoded(monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", None)
    bomb = _chunk(b"IDAT", zlib.compress(bytes(1 << 20)))
    assert _code(_png(60_000, 60_000, bomb)) == "too_many_pixels"
    jpeg = bytearray(_file(_picture(), "JPEG"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 40_000, 50_000)
    assert _code(bytes(jpeg)) == "too_many_pixels"
    for kind, header in (
        (b"VP8X", bytes(4) + (39_999).to_bytes(3, "little") + (9_999).to_bytes(3, "little")),
        (b"VP8L", b"\x2f" + (16_000 | 16_000 << 14).to_bytes(4, "little")),
        (b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 16_000, 16_000)),
    ):
        body = b"WEBP" + kind + struct.pack("<I", len(header)) + header
        assert _code(b"RIFF" + struct.pack("<I", len(body)) + body) == "too_many_pixels"


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_that_is_counted_is_the_size_that_is_decoded(kind):
    rng = np.random.default_rng(1)
    for width, height in rng.integers(1, 300, (20, 2)).tolist():
        data = _file(_picture(size=(width, height)), kind)
        assert uploads._size(data) == (width, height)
        assert uploads.decode(data).shape == (height, width, 3)


def test_a_small_canvas_with_a_large_image_in_it_is_damaged():
    frame = _file(_picture(size=(600, 400)), "WEBP", lossless=True)[12:]
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\x09\0\0" + b"\x09\0\0"
    body = b"WEBP" + canvas + frame
    assert _code(b"RIFF" + struct.pack("<I", len(body)) + body) == "damaged"
    pixels = _chunk(b"IDAT", zlib.compress(bytes(31 * 10)))
    larger = _chunk(b"IHDR", struct.pack(">IIBBBBB", 9000, 9000, 8, 2, 0, 0, 0))
    assert uploads.decode(_png(10, 10, pixels)).shape == (10, 10, 3)
    assert _code(_png(10, 10, larger, pixels)) == "damaged"


def test_a_jpeg_of_a_thousand_scans_is_refused():
    data = _file(_picture(), "JPEG", progressive=True)
    assert 1 < data.count(b"\xff\xda") < 20
    scan = data[data.rindex(b"\xff\xda") : -2]
    assert _code(data[:-2] + 1000 * scan + data[-2:]) == "damaged"


@pytest.mark.parametrize("kind", ("PNG", "WEBP"))
def test_moving_images_are_refused(kind):
    frames = [_picture(size=(60, 40)), _picture(size=(60, 40)).rotate(90)]
    data = _file(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)
    assert len(list(ImageSequence.Iterator(Image.open(io.BytesIO(data))))) == 2
    assert _code(data) == "animated"


@pytest.mark.parametrize(
    "data, code, name",
    [
        (_file(_picture(), "GIF"), "unsupported", "GIF"),
        (_file(_picture(), "TIFF"), "unsupported", "TIFF"),
        (_file(_picture(), "BMP"), "unsupported", "BMP"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "unsupported", "HEIC"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "unsupported", "AVIF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported", "SVG"),
        (b"\n <?xml version='1.0'?><!DOCTYPE svg>", "unsupported", "SVG"),
        (b"%PDF-1.7", "unsupported", "PDF"),
        (b"", "not_an_image", None),
        (b"hello", "not_an_image", None),
        (bytes(1000), "not_an_image", None),
    ],
)
def test_other_files_are_named(data, code, name):
    with pytest.raises(uploads.UploadError) as refused:
        uploads.decode(data)
    assert refused.value.code == code and refused.value.details.get("format") == name


def _mutated(rng):
    data = bytearray(_file(_picture(), KINDS[rng.integers(3)]))
    for _ in range(rng.integers(1, 8)):
        at = int(rng.integers(len(data)))
        length = int(rng.integers(1, 9))
        kind = rng.integers(3)
        data[at : at + length * (kind > 0)] = rng.bytes(length if kind < 2 else 0)
    return bytes(data)


def test_mutated_files_are_read_or_refused(full):
    rng, refused = np.random.default_rng(2), 0
    for _ in range(10_000 if full else 300):
        try:
            found = uploads.decode(_mutated(rng))
            assert found.dtype == np.uint8 and found.ndim == 3
        except uploads.UploadError:
            refused += 1
    assert refused


def _marks(left, top, scale):
    return np.float32(TEMPLATE * scale + (left, top))


def _detector(*places):
    """Faces of (left, top, scale), each 112 pixels wide times its scale."""

    def detect(image):
        boxes = [(x, y, x + 112 * scale, y + 112 * scale) for x, y, scale in places]
        marks = [_marks(*place) for place in places]
        return Faces(
            np.float32(boxes).reshape(-1, 4),
            np.float32(marks).reshape(-1, 5, 2),
            np.ones(len(places), np.float32),
        )

    return detect


PHOTO = np.random.default_rng(3).integers(0, 256, (300, 400, 3), np.uint8)


def _faces(detect, photo=PHOTO, **preparation):
    data = _file(Image.fromarray(photo), "PNG")
    return uploads.faces(data, Preparation(detector=detect, **preparation), detect)


def test_faces_are_cut_out_the_largest_first():
    found = _faces(_detector((10, 20, 0.5), (200, 100, 1), (-20, 250, 0.6)))
    assert [face.box for face in found] == [
        (200, 100, 312, 212),
        (0, 250, 47, 300),
        (10, 20, 66, 76),
    ]
    assert (found[0].image == PHOTO[100:212, 200:312]).all()
    assert found[0].placement.residual < 1e-4
    assert [face.placement.eyes for face in found] == pytest.approx(
        [35.24, 0.6 * 35.24, 0.5 * 35.24], abs=0.01
    )


@pytest.mark.parametrize("align", ("auto", "always", "never"))
@pytest.mark.parametrize("quality", (None, 40))
@pytest.mark.parametrize("side", (112, 300))
def test_one_face_is_that_of_the_audit(align, quality, side):
    photo = np.ascontiguousarray(PHOTO[:side, :side])
    detect = _detector((5, 3, 0.9))
    (found,) = _faces(detect, photo, align=align, quality=quality)
    expected, place = Preparation(align, detect, quality).placed(photo)
    assert (found.image == expected).all()
    assert np.array_equal(found.placement, place, equal_nan=True)


def test_an_aligned_face_is_taken_as_it_is():
    (found,) = _faces(None, PHOTO[:112, :112])
    assert found.box == (0, 0, 112, 112) and found.placement is UNPLACED
    assert (found.image == PHOTO[:112, :112]).all()


@pytest.mark.parametrize(
    "places, code",
    [
        ([], "no_face"),
        ([(0, 0, 0.3)], "face_too_small"),
        ([(0, 0, 1)] * (uploads.MAX_FACES + 1), "too_many_faces"),
    ],
)
def test_photos_of_nobody_and_of_a_crowd(places, code):
    with pytest.raises(uploads.UploadError) as refused:
        _faces(_detector(*places))
    assert refused.value.code == code


def test_landmarks_at_one_point_are_no_face():
    def detect(image):
        boxes = np.float32([[0, 0, 100, 100]])
        return Faces(boxes, np.ones((1, 5, 2), np.float32), np.ones(1, np.float32))

    with pytest.raises(uploads.UploadError, match="no face"):
        _faces(detect)


def test_nothing_is_written(tmp_path, monkeypatch):
    """OpenCV takes the folder of its temporary files from the environment, Python from tempdir."""
    monkeypatch.setenv("OPENCV_TEMP_PATH", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = []
    monkeypatch.setattr(tempfile, "_mkstemp_inner", lambda *args: made.append(args))
    noise = np.random.default_rng(4).integers(0, 256, (1500, 1500, 3), np.uint8)
    for kind in KINDS:
        data = _file(Image.fromarray(noise), kind)
        assert uploads.decode(data).shape == noise.shape
        uploads.faces(data, Preparation(), _detector((0, 0, 1)))
    assert not made and not list(tmp_path.iterdir())


def test_real_photos(test_data):
    """The same face as the audit's preparation cuts out, in photos of one person each."""
    preparation = Preparation()
    detect = detection.Lazy(None)
    for path in sorted((test_data / "faces" / "lfw10").glob("*/*.jpg"))[:3]:
        found = uploads.faces(path.read_bytes(), preparation, detect)
        photo = cv2.imread(str(path))[..., ::-1]
        expected = preparation.placed(np.ascontiguousarray(photo))[0]
        assert any((face.image == expected).all() for face in found)
        left, top, right, bottom = found[0].box
        assert left < 125 < right and top < 125 < bottom
