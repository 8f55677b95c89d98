"""From a decoded photo to the 112x112 face that audited models take, alike for every database.

A database that was cropped or compressed in its own way can be told by that alone, so that an
auditor may win without any membership: `Preparation(align="always", quality=...)` sends every image
of every database through one alignment and one encoding.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from data_pipelines import detection, images
from data_pipelines.alignment import SIZE, UNPLACED, Placement, align, placement
from data_pipelines.errors import InputError

_ALIGN = ("auto", "always", "never")


@dataclasses.dataclass(frozen=True)
class Preparation:
    """How faces are cut out of photos.

    Attributes:
      align: "auto" takes an image of 112x112 as aligned already and warps every other by the
        landmarks that its database gives, else by those that the detector finds; "always" warps
        every image by landmarks of the detector, whatever its size and its database say; "never"
        only resizes.
      detector: an .onnx file or a function, as in `data_pipelines.detection`, or None for the
        default detector. Nothing is loaded before the first image needs it.
      quality: JPEG quality, 1 to 100, in which every face is encoded and decoded again after
        alignment; None leaves faces as they are.
      antialias: whether faces that are more than twice as large as the result, as in large photos
        of citizens, are averaged down before the warp. False warps them as InsightFace's
        `norm_crop` does, which is how InsightFace cut its own training sets.

    Raises:
      InputError: a value out of range, or a detector file that does not exist.
    """

    align: str = "auto"
    detector: str | Path | Callable | None = None
    quality: int | None = None
    antialias: bool = True

    def __post_init__(self):
        if self.align not in _ALIGN:
            raise InputError(f"align is {self.align!r}; it must be one of {', '.join(_ALIGN)}")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise InputError(f"quality is {self.quality}; JPEG qualities go from 1 to 100")
        object.__setattr__(self, "_detect", detection.Lazy(self.detector))

    def __call__(
        self,
        image: np.ndarray,
        landmarks: np.ndarray | None = None,
        box: np.ndarray | None = None,
    ) -> np.ndarray:
        """The face of `placed`, (112, 112, 3) uint8 RGB, which takes and raises the same."""
        return self.placed(image, landmarks, box)[0]

    def placed(
        self,
        image: np.ndarray,
        landmarks: np.ndarray | None = None,
        box: np.ndarray | None = None,
    ) -> tuple[np.ndarray, Placement]:
        """Cuts the face out of a photo.

        Args:
          image: (H, W, 3) uint8 RGB.
          landmarks: (5, 2) pixels, where the database gives them.
          box: (4,) left, top, right, bottom in pixels of the face that is meant, where the
            database gives it; else the face that the photo is about.

        Returns:
          (112, 112, 3) uint8 RGB, and how it lay in the photo, `UNPLACED` where it was not warped.

        Raises:
          InputError: no face, or landmarks from which no transform follows.
        """
        face, place = self._cut(image, landmarks, box)
        if self.quality is not None:
            face = images.decode(images.encode_jpeg(face, self.quality))
        return face, place

    def keeps(self, shape: tuple[int, ...]) -> bool:
        """Whether an image of that shape passes through as it is, down to its encoded bytes."""
        return self.align != "always" and self.quality is None and shape[:2] == (SIZE, SIZE)

    def describe(self) -> dict:
        """JSON values that tell two preparations apart."""
        detector = self.detector
        if callable(detector):
            detector = getattr(detector, "__qualname__", type(detector).__qualname__)
        return {
            "align": self.align,
            "detector": None if detector is None else str(detector),
            "quality": self.quality,
            "antialias": self.antialias,
        }

    def _cut(self, image, landmarks, box) -> tuple[np.ndarray, Placement]:
        fits = image.shape[:2] == (SIZE, SIZE)
        if self.align == "never" or (self.align == "auto" and fits):
            if not fits:
                image = cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
            return image, UNPLACED
        if landmarks is None or self.align == "always":
            landmarks = detection.find_landmarks(self._detect, image, box)
        return align(image, landmarks, antialias=self.antialias), placement(landmarks)
