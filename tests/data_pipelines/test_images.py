"""Decoding of image files, against Pillow."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from data_pipelines import images
from data_pipelines.errors import InputError


def _photo(mode="RGB", size=(61, 47)):
    """A smooth picture, so that lossy formats stay close."""
    x, y = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]))
    rgb = np.stack([x, y, (1 - x) * y], -1) * 255
    return Image.fromarray(rgb.astype(np.uint8)).convert(mode)


def _encode(picture, kind, **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "mode, kind, tolerance",
    [
        ("RGB", "JPEG", 3),
        ("L", "JPEG", 1),
        ("CMYK", "JPEG", 4),
        ("RGB", "PNG", 0),
        ("L", "PNG", 0),
        ("P", "PNG", 0),
        ("RGBA", "PNG", 0),
        ("LA", "PNG", 0),
        ("1", "PNG", 0),
        ("RGB", "BMP", 0),
        ("RGB", "TIFF", 0),
        ("RGB", "WEBP", 3),
        ("RGB", "PPM", 0),
    ],
)
def test_every_kind_becomes_rgb(mode, kind, tolerance):
    data = _encode(_photo(mode), kind)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), int)
    found = images.decode(data)
    assert found.dtype == np.uint8
    assert np.abs(found - expected).max() <= tolerance


def test_sixteen_bits_become_eight():
    values = (np.arange(40 * 30).reshape(30, 40) * 54).astype(np.uint16)
    found = images.decode(_encode(Image.fromarray(values), "PNG"))
    assert found.shape == (30, 40, 3)
    assert np.abs(found - (values / 257)[..., None]).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_stand_upright(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = _encode(_photo(), "JPEG", exif=exif, quality=95)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    found = images.decode(data)
    assert found.shape[:2] == upright.size[::-1]
    assert np.abs(found - np.asarray(upright, int)).max() <= 3


@pytest.mark.parametrize("progressive", [False, True])
def test_a_cut_jpeg_is_an_error_even_with_a_whole_thumbnail(progressive):
    thumbnail = _encode(_photo(size=(16, 16)), "JPEG")
    exif = Image.Exif()
    exif[0x010E] = thumbnail  # any tag will do: its bytes hold an end marker
    data = _encode(_photo(size=(300, 200)), "JPEG", exif=exif, progressive=progressive)
    assert data.count(b"\xff\xd9") == 2
    assert images.decode(data + b"trailer").shape == (200, 300, 3)
    for length in (3, len(data) // 2, len(data) - 1):
        with pytest.raises(InputError, match="cut off"):
            images.decode(data[:length])


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "TIFF"])
def test_other_cut_files_are_errors(kind):
    data = _encode(_photo(), kind)
    with pytest.raises(InputError, match="decoded"):
        images.decode(data[: len(data) // 2])


@pytest.mark.parametrize("data, reason", [(b"", "empty"), (b"no image", "decoded")])
def test_what_is_no_image_is_an_error(data, reason):
    with pytest.raises(InputError, match=reason):
        images.decode(data)


def test_jpeg_encoding_is_that_of_its_quality():
    image = np.asarray(_photo())
    for quality in (30, 95):
        oracle = _encode(_photo(), "JPEG", quality=quality)
        ours = images.encode_jpeg(image, quality)
        found, expected = (np.asarray(Image.open(io.BytesIO(x)), int) for x in (ours, oracle))
        assert np.abs(found - expected).mean() < 1
