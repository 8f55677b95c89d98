"""Faces out of a file that somebody uploaded, who may mean harm. Nothing is written anywhere.

JPEG, PNG and still WebP are read, because OpenCV decodes these three from memory; of other formats
it makes a temporary file first. A file is what its first bytes say it is, whatever its name or
what follows its end, and its header tells how many pixels there are before any is decoded. How
many bytes a file may have is for whoever receives it, who sees them arrive.
"""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from data_pipelines import images
from data_pipelines.alignment import SIZE, Placement
from data_pipelines.detection import Detector
from data_pipelines.errors import InputError
from data_pipelines.preparation import Preparation

MAX_PIXELS = 50_000_000  # 150 MB decoded; phones of 48 megapixels stay below
MAX_FACES = 16
MIN_SIDE = 40  # pixels of a face's longer side in its photo: below, little of it is a face
_MAX_SCANS = 100  # of a progressive JPEG, each of which costs a pass over all pixels; 10 are usual
_REFUSED = {
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"BM": "BMP",
    b"%PDF": "PDF",
    b"<svg": "SVG",
    b"<?xml": "SVG",
}
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF"}


class UploadError(InputError):
    """An uploaded file that cannot be used.

    Attributes:
      code: a word for programs: `not_an_image`, `unsupported`, `animated`, `too_many_pixels`,
        `damaged`, `no_face`, `face_too_small` or `too_many_faces`.
      details: `limit`, in pixels or faces, or the `format`, where its message says one.
    """

    def __init__(self, code: str, message: str, **details: Any):
        super().__init__(message)
        self.code, self.details = code, details


class Found(NamedTuple):
    """A face in a photo.

    Attributes:
      box: left, top, right, bottom in pixels of the upright photo.
      image: (112, 112, 3) uint8 RGB.
      placement: how it lay in the photo; `UNPLACED` where it came aligned.
    """

    box: tuple[int, int, int, int]
    image: np.ndarray
    placement: Placement


def faces(data: bytes, preparation: Preparation, detect: Detector) -> list[Found]:
    """The faces of an uploaded file, the largest first, prepared as those of an audit.

    Args:
      data: the file.
      preparation: of the audit. A photo of 112x112 holds one face, as `open_source` takes it.
      detect: finds faces; of threads of its own, such as `detection.Lazy`.

    Raises:
      UploadError: what `decode` raises, no face, one that is too small, or too many faces.
    """
    photo = decode(data)
    height, width = photo.shape[:2]
    if preparation.align == "never" or (height, width) == (SIZE, SIZE):
        whole = np.float32([0, 0, width, height])
        return _cut(photo, preparation, [(whole, None)])
    found = detect(photo)
    if not len(found.scores):
        raise UploadError("no_face", "no face was found")
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    rows = [row for row in np.argsort(-sides.prod(axis=1)) if sides[row].max() >= MIN_SIDE]
    if not rows:
        message = f"no face has {MIN_SIDE} pixels"
        raise UploadError("face_too_small", message, limit=MIN_SIDE)
    if len(rows) > MAX_FACES:
        message = f"there are {len(rows)} faces; {MAX_FACES} are read at most"
        raise UploadError("too_many_faces", message, limit=MAX_FACES)
    # Landmarks are known by now, and "always" would look for those of the largest face again.
    once = dataclasses.replace(preparation, align="auto")
    return _cut(photo, once, [(found.boxes[row], found.landmarks[row]) for row in rows])


def _cut(photo: np.ndarray, preparation: Preparation, places: list) -> list[Found]:
    """Each face of (box, landmarks) from which a transform follows."""
    height, width = photo.shape[:2]
    cut = []
    for box, landmarks in places:
        try:
            image, place = preparation.placed(photo, landmarks)
        except InputError:
            continue
        left, top, right, bottom = np.rint(box).astype(int).tolist()
        inner = max(0, left), max(0, top), min(width, right), min(height, bottom)
        cut.append(Found(inner, image, place))
    if not cut:
        raise UploadError("no_face", "no face was found")
    return cut


def decode(data: bytes) -> np.ndarray:
    """Decodes an uploaded file: (H, W, 3) uint8 RGB, upright by its EXIF, alpha dropped.

    Raises:
      UploadError: no image, an image of another format or an animated one, more pixels than are
        read, or damaged.
    """
    try:
        width, height = _size(data)
    except IndexError:
        raise UploadError("damaged", "the file is damaged or cut off") from None
    if width * height > MAX_PIXELS:
        message = f"{width}x{height} pixels; {MAX_PIXELS:,} are read at most"
        raise UploadError("too_many_pixels", message, limit=MAX_PIXELS)
    try:
        return images.decode(data)
    except InputError:
        raise UploadError("damaged", "the file is damaged or cut off") from None


def _size(data: bytes) -> tuple[int, int]:
    """Width and height that the header of a file says.

    Raises:
      UploadError: a file of another kind.
      IndexError: a header that ends early, or says what no header says.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg_size(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png_size(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp_size(data)
    start = data.lstrip()[:5].lower() if data[:1] in b"< \t\r\n" else data
    names = [name for magic, name in _REFUSED.items() if start.startswith(magic)]
    if data[4:8] == b"ftyp":
        names.append(_BRANDS.get(data[8:12], "HEIC"))
    if names:
        message = f"{names[0]} is not read; JPEG, PNG and WebP are"
        raise UploadError("unsupported", message, format=names[0])
    raise UploadError("not_an_image", "not an image in JPEG, PNG or WebP")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Out of the frame header, to which segments lead by their lengths."""
    if data.count(b"\xff\xda") > _MAX_SCANS:
        raise IndexError
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return _number(data, at + 7, 2, "big"), _number(data, at + 5, 2, "big")
        if marker == 0xDA:
            break
        at += 1 if marker == 0xFF else 2 + _number(data, at + 2, 2, "big")
    raise IndexError


def _png_size(data: bytes) -> tuple[int, int]:
    """Out of the first chunk; a chunk acTL before the pixels makes a PNG an animation."""
    at = 8
    while (kind := data[at + 4 : at + 8]) != b"IDAT":
        if len(kind) < 4:
            raise IndexError
        if kind == b"acTL":
            raise UploadError("animated", "the PNG is animated", format="PNG")
        at += 12 + _number(data, at, 4, "big")
    return _number(data, 16, 4, "big"), _number(data, 20, 4, "big")


def _webp_size(data: bytes) -> tuple[int, int]:
    """Out of the first chunk. Source: RFC 9649, and RFC 6386, section 9.1."""
    kind = data[12:16]
    if kind == b"VP8X":
        if data[20] & 2:
            raise UploadError("animated", "the WebP is animated", format="WebP")
        return 1 + _number(data, 24, 3, "little"), 1 + _number(data, 27, 3, "little")
    if kind == b"VP8L":
        bits = _number(data, 21, 4, "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return tuple(_number(data, at, 2, "little") & 0x3FFF for at in (26, 28))
    raise IndexError


def _number(data: bytes, at: int, size: int, order: str) -> int:
    if at + size > len(data):
        raise IndexError
    return int.from_bytes(data[at : at + size], order)
