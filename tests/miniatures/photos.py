"""Pictures for small databases."""

import io

import cv2
import numpy as np
from PIL import Image


def photo(seed: int, height: int, width: int) -> np.ndarray:
    """(height, width, 3) uint8: smooth random colours."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def jpeg(image: np.ndarray, **options) -> bytes:
    """A JPEG file by PIL."""
    return encode(Image.fromarray(image), "JPEG", quality=92, **options)


def encode(image: Image.Image, kind: str, **options) -> bytes:
    """A file of any kind that PIL writes."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
