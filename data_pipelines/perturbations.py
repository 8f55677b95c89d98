"""Changes of photos that leave the face as it is: a verdict must survive them, or say it fails.

A copy of a photo that was used for training was often compressed, scaled or cut again before
somebody asks about it. Each change takes and gives uint8 (B, 112, 112, 3) RGB, deterministically.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

QUALITY = 75  # of `recompress`, where every image of an audit is prepared alike


@dataclass(frozen=True)
class Change:
    """A change of photos, and how a report calls it."""

    words: str
    apply: Callable[[np.ndarray], np.ndarray]


def recompress(images: np.ndarray, quality: int = QUALITY) -> np.ndarray:
    """JPEG encoding at `quality` and decoding again."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    files = [cv2.imencode(".jpg", image[..., ::-1], options)[1] for image in images]
    return np.stack([cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1] for file in files])


def resize(images: np.ndarray, factor: float) -> np.ndarray:
    """Scaling by `factor` < 1 with area averages, and back by linear interpolation."""
    side = images.shape[1]
    small = max(1, round(side * factor))
    shrunk = [cv2.resize(x, (small, small), interpolation=cv2.INTER_AREA) for x in images]
    return np.stack([cv2.resize(x, (side, side)) for x in shrunk])


def recrop(images: np.ndarray, pixels: int) -> np.ndarray:
    """Moved right and down by some pixels; what is missing repeats the edge."""
    return _warp(images, np.float32([[1, 0, pixels], [0, 1, pixels]]))


def realign(images: np.ndarray, degrees: float, scale: float) -> np.ndarray:
    """Turned and scaled about the centre, as landmarks of another detector would have it."""
    middle = (images.shape[1] - 1) / 2
    return _warp(images, cv2.getRotationMatrix2D((middle, middle), degrees, scale))


def _warp(images: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    size = images.shape[2], images.shape[1]
    border = {"borderMode": cv2.BORDER_REPLICATE}
    return np.stack([cv2.warpAffine(image, matrix, size, **border) for image in images])


CHANGES = {
    "recompressed": Change("compressed again, JPEG quality 50", lambda x: recompress(x, 50)),
    "resized": Change("scaled to half the size and back", lambda x: resize(x, 0.5)),
    "recropped": Change("cut 4 pixels further left and up", lambda x: recrop(x, 4)),
    "realigned": Change("turned by 3 degrees and 3% larger", lambda x: realign(x, 3, 1.03)),
}
