"""Detection of faces and of the five landmarks that alignment needs.

A detector is a function `detector(image) -> Faces` of an (H, W, 3) uint8 RGB image. The default is
MTCNN, whose weights come with an installed package; an .onnx file of YuNet, SCRFD or RetinaFace is
told by its graph.
"""

import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from data_pipelines.errors import InputError
from data_pipelines.faces import Faces

_LONGEST = 640  # pixels of the longer side; larger images are detected on a smaller copy
_AROUND = 0.5  # of a box's longer side: the margin in which a detector looks for its face
_SAME = 0.2  # intersection over union of a detection with the box that is meant
_YUNET_SCORE = 0.6
_YUNET_OVERLAP = 0.3
_YUNET_CANDIDATES = 5000
_YUNET_OUTPUTS = {f"{part}_{n}" for part in ("cls", "obj", "bbox", "kps") for n in (8, 16, 32)}

Detector = Callable[[np.ndarray], Faces]


def landmarks(faces: Faces, shape: tuple[int, ...]) -> np.ndarray:
    """The landmarks of the face that an image is about: large, near the middle.

    Args:
      faces: from a detector.
      shape: (H, W, ...) of the image.

    Returns:
      (5, 2) float32.

    Raises:
      InputError: no face.
    """
    if not len(faces.scores):
        raise InputError("no face was found")
    corners = faces.boxes.reshape(-1, 2, 2)
    middle = np.array([shape[1], shape[0]]) / 2
    area = np.prod(corners[:, 1] - corners[:, 0], axis=1)
    distance = np.square(corners.mean(1) - middle).sum(1)
    # InsightFace's rule: a face as wide as it is far from the middle loses to a small one there.
    return faces.landmarks[np.argmax(area - 2 * distance)]


def find_landmarks(
    detector: Detector, image: np.ndarray, box: np.ndarray | None = None
) -> np.ndarray:
    """Detects the landmarks of one face of an image.

    Args:
      detector: finds the faces.
      image: (H, W, 3) uint8 RGB.
      box: (4,) left, top, right, bottom in pixels of the face that is meant, which is then looked
        for in its neighbourhood alone; None takes the face that the image is about.

    Returns:
      (5, 2) float32 pixels.

    Raises:
      InputError: no face, or none there, or a box that is none.
    """
    if box is None:
        return landmarks(detector(image), image.shape)
    if not np.isfinite(box).all():
        raise InputError("the box of the face is not finite numbers")
    left, top, right, bottom = np.asarray(box, float)
    margin = _AROUND * max(right - left, bottom - top)
    x, y = max(0, int(left - margin)), max(0, int(top - margin))
    around = image[y : max(0, int(bottom + margin)), x : max(0, int(right + margin))]
    if not around.size:
        raise InputError("the box of the face lies outside of the image")
    faces = detector(np.ascontiguousarray(around))
    overlaps = _overlaps(faces.boxes + np.float32([x, y, x, y]), np.float32(box))
    if overlaps.max(initial=0) < _SAME:
        raise InputError("no face was found where the database has one")
    return faces.landmarks[overlaps.argmax()] + np.float32([x, y])


def _overlaps(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Intersection over union of (n, 4) boxes with one (4,) box."""
    sides = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    shared = np.prod(np.maximum(sides, 0), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(box[2:] - box[:2])
    return shared / (areas - shared)


class Lazy:
    """A detector that is loaded when its first image comes, once a thread, and pickles before.

    OpenCV's detectors hold buffers, so threads must not share one.
    """

    def __init__(self, detector: str | Path | Detector | None):
        """Takes an .onnx file, as `load` understands it, a detector, or None for the default one.

        Raises:
          InputError: a file that does not exist.
        """
        if isinstance(detector, str | Path) and not Path(detector).is_file():
            raise InputError(f"{detector}: no such detector file")
        self._detector, self._local = detector, threading.local()

    def __call__(self, image: np.ndarray) -> Faces:
        if not hasattr(self._local, "detect"):
            self._local.detect = self._load()
        return limited(self._local.detect, image)

    def __reduce__(self):
        return Lazy, (self._detector,)

    def _load(self) -> Detector:
        if self._detector is None:
            from data_pipelines.mtcnn import MTCNN  # onnxruntime: only where it is needed

            return MTCNN()
        return self._detector if callable(self._detector) else load(self._detector)


def load(path: str | Path) -> Detector:
    """Loads the detector that an .onnx file holds.

    It is told by the graph: YuNet of OpenCV by the names of its outputs, SCRFD and RetinaFace of
    InsightFace, with landmarks, and RetinaFace of PyTorch by their shapes.

    Raises:
      InputError: no network, or none of these.
    """
    from data_pipelines.retinaface import RetinaFace  # onnxruntime: only where it is needed
    from data_pipelines.scrfd import SCRFD, Network

    network = Network(path)
    if set(network.names) == _YUNET_OUTPUTS:
        return YuNet(path)
    detector = SCRFD.of(network) or RetinaFace.of(network)
    if detector is None:
        found = ", ".join("x".join(map(str, table)) for table in network.tables)
        raise InputError(
            f"{path}: not a face detector that is understood (YuNet, SCRFD with landmarks, "
            f"RetinaFace); its outputs are {found}"
        )
    return detector


def limited(detector: Detector, image: np.ndarray, longest: int = _LONGEST) -> Faces:
    """Runs a detector on a copy whose longer side has at most `longest` pixels, if it can."""
    scale = max(longest / max(image.shape[:2]), 1 / min(image.shape[:2]))  # a pixel stays
    if scale >= 1:
        return detector(image)
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    faces = detector(small)
    factor = np.array([image.shape[1] / small.shape[1], image.shape[0] / small.shape[0]])
    boxes, marks = faces.boxes * np.tile(factor, 2), faces.landmarks * factor
    return Faces(boxes.astype(np.float32), marks.astype(np.float32), faces.scores)


class YuNet:
    """OpenCV's `FaceDetectorYN`. Source: Wu et al., "YuNet", Machine Intelligence Research 2023."""

    def __init__(self, path: str | Path, score: float = _YUNET_SCORE):
        """Loads a YuNet .onnx file.

        Raises:
          InputError: the file is not a detector that OpenCV can run.
        """
        try:
            self._net = cv2.FaceDetectorYN.create(
                str(path), "", (320, 320), score, _YUNET_OVERLAP, _YUNET_CANDIDATES
            )
        except cv2.error as error:
            raise InputError(f"{path}: not a YuNet detector ({error.err})") from None

    def __call__(self, image: np.ndarray) -> Faces:
        self._net.setInputSize((image.shape[1], image.shape[0]))
        found = self._net.detect(np.ascontiguousarray(image[..., ::-1]))[1]
        rows = np.zeros((0, 15), np.float32) if found is None else found
        boxes = np.hstack([rows[:, :2], rows[:, :2] + rows[:, 2:4]])
        return Faces(boxes, rows[:, 4:14].reshape(-1, 5, 2), rows[:, 14])
