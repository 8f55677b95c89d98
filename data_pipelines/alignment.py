"""Alignment of faces: five landmarks to the ArcFace template by a similarity transform.

Sources: the template is InsightFace's (Deng et al., "ArcFace", arXiv 1801.07698); the closed form
is Umeyama, "Least-squares estimation of transformation parameters between two point patterns",
TPAMI 1991.
"""

from typing import NamedTuple

import cv2
import numpy as np

from data_pipelines.errors import InputError

SIZE = 112
_WIDE = 128  # the side of the same crop with more around it
# Left eye, right eye, tip of the nose, left and right corner of the mouth, as seen in the image.
TEMPLATE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
_SHRINK = 0.5  # below this scale a bilinear warp skips pixels


class Placement(NamedTuple):
    """How a face lay in its photo.

    Attributes:
      residual: root mean square distance of the five landmarks from the template after the
        similarity transform, in pixels of the aligned face; of a profile or of landmarks that were
        found wrongly it is large.
      eyes: distance between the eyes before the transform, in pixels of the photo.
    """

    residual: float
    eyes: float


UNPLACED = Placement(np.nan, np.nan)  # of a face that came aligned, or was not to be aligned


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation, scale and shift that bring `source` nearest to `target` in least squares.

    In the plane, with centred points as complex numbers s and t, the minimiser of |a s - t|^2 is
    a = <s, t> / <s, s>: Umeyama's solution where reflections are impossible by construction.

    Args:
      source: (n, 2) points, x and y in pixels.
      target: (n, 2) points.

    Returns:
      (2, 3) float64 matrix M; a point p goes to M @ (x, y, 1).

    Raises:
      InputError: points that are not finite, or all the same.
    """
    source, target = np.asarray(source, float), np.asarray(target, float)
    if not np.isfinite(source).all():
        raise InputError("landmarks are not finite numbers")
    s = (source - source.mean(0)) @ (1, 1j)
    t = (target - target.mean(0)) @ (1, 1j)
    spread = np.vdot(s, s).real
    if spread == 0:
        raise InputError("landmarks are all at one point")
    a = np.vdot(s, t) / spread
    rotation = np.array([[a.real, -a.imag], [a.imag, a.real]])
    shift = target.mean(0) - rotation @ source.mean(0)
    return np.column_stack([rotation, shift])


def template(size: int) -> np.ndarray:
    """(5, 2) places of the landmarks in a square of `size` pixels, as InsightFace has them.

    For a multiple of 128 that is none of 112 they are shifted: its crops are wider, to the left and
    right and below the face. Every other size scales the template of 112.
    """
    if size % _WIDE or not size % SIZE:
        return TEMPLATE * (size / SIZE)
    return (TEMPLATE + ((_WIDE - SIZE) / 2, 0)) * (size / _WIDE)


def placement(landmarks: np.ndarray) -> Placement:
    """How a face with these landmarks, (5, 2) pixels of its photo, lies in it.

    Raises:
      InputError: landmarks from which no transform follows.
    """
    landmarks = np.asarray(landmarks, float)
    matrix = similarity(landmarks, TEMPLATE)
    apart = landmarks @ matrix[:, :2].T + matrix[:, 2] - TEMPLATE
    residual = np.sqrt(np.square(apart).sum(axis=1).mean())
    return Placement(float(residual), float(np.hypot(*(landmarks[1] - landmarks[0]))))


def align(
    image: np.ndarray, landmarks: np.ndarray, size: int = SIZE, antialias: bool = False
) -> np.ndarray:
    """Cuts a face out of an image so that its landmarks lie on the ArcFace template.

    Args:
      image: (H, W, 3) uint8.
      landmarks: (5, 2) pixels: left eye, right eye, nose, left and right corner of the mouth.
      size: side of the result in pixels; the template scales with it.
      antialias: whether a face that is more than twice as large as the result is averaged down
        before the bilinear warp. Without, the result is that of InsightFace's `norm_crop`.

    Returns:
      (size, size, 3) uint8; what lies outside of `image` is black.

    Raises:
      InputError: landmarks from which no transform follows.
    """
    matrix = similarity(landmarks, template(size))
    scale = np.hypot(*matrix[:, 0])
    if antialias and scale < _SHRINK:
        image, factor = _shrink(image, scale)
        # The middle of pixel 0 is at 0: a factor f takes x to f (x + 1/2) - 1/2, and back.
        matrix[:, 2] += matrix[:, :2] @ (0.5 / factor - 0.5)
        matrix[:, :2] /= factor
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderValue=0)


def _shrink(image: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Averages an image down by about `scale`; also the exact factors in x and y."""
    height, width = image.shape[:2]
    small = max(1, round(width * scale)), max(1, round(height * scale))
    factor = np.array([small[0] / width, small[1] / height])
    return cv2.resize(image, small, interpolation=cv2.INTER_AREA), factor
