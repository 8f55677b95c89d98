"""Decoding of image files to uint8 RGB, upright, whatever they hold; damaged files are errors."""

from pathlib import Path

import cv2
import numpy as np

from data_pipelines.errors import InputError

SUFFIXES = frozenset(".bmp .jpeg .jpg .pgm .png .ppm .tif .tiff .webp".split())


def read_bytes(path: str | Path) -> bytes:
    """The content of a file.

    Raises:
      InputError: it cannot be read; the message gives the reason alone.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError as error:
        raise InputError(error.strerror) from None


def encode_jpeg(image: np.ndarray, quality: int) -> bytes:
    """Encodes (H, W, 3) uint8 RGB as a JPEG of that quality, 1 to 100."""
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()


def decode(data: bytes) -> np.ndarray:
    """Decodes an image.

    EXIF orientation is applied; grey, palette, CMYK and 16-bit images become 8-bit RGB; an alpha
    channel is dropped.

    Returns:
      (H, W, 3) uint8 RGB.

    Raises:
      InputError: `data` is no image, or is cut off.
    """
    if not data:
        raise InputError("the file is empty")
    if data[:2] == b"\xff\xd8" and not _ends(data):
        raise InputError("the JPEG is cut off")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise InputError(f"not an image that can be decoded ({error.err})") from None
    if image is None:
        raise InputError("not an image that can be decoded")
    return image


def _ends(jpeg: bytes) -> bool:
    """Whether an end marker follows the first scan; libjpeg would paint the rest grey.

    A marker that is found by searching alone could be that of a thumbnail in the EXIF segment,
    so segments are skipped by their lengths; within a scan 0xFFD9 cannot occur as data.
    """
    if jpeg.endswith(b"\xff\xd9"):
        return True
    at = 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        if jpeg[at + 1] == 0xDA:
            return jpeg.find(b"\xff\xd9", at) >= 0
        padding = jpeg[at + 1] == 0xFF
        at += 1 if padding else 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return False
