"""What a detector finds in an image."""

from typing import NamedTuple

import numpy as np


class Faces(NamedTuple):
    """n faces in one image, in pixels of that image.

    Attributes:
      boxes: (n, 4) float32: left, top, right, bottom.
      landmarks: (n, 5, 2) float32: left eye, right eye, nose, left and right corner of the mouth,
        as seen in the image; x and y.
      scores: (n,) float32 in 0 to 1.
    """

    boxes: np.ndarray
    landmarks: np.ndarray
    scores: np.ndarray
