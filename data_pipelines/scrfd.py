"""SCRFD and RetinaFace of InsightFace from .onnx files, such as det_10g and scrfd_500m_bnkps.

Source: Guo et al., "Sample and Computation Redistribution for Efficient Face Detection", ICLR 2022,
arXiv 2105.04714. At each stride and place the network gives, for every anchor there, a score, the
distances to the four sides of a box, and the offsets of five landmarks, in units of the stride.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import cv2
import numpy as np
import onnxruntime

from data_pipelines.errors import InputError
from data_pipelines.faces import Faces

_SIDE = 640  # pixels of an input whose size the file leaves open
_STRIDES = ((8, 16, 32), (8, 16, 32, 64, 128))
_ANCHORS = (1, 2)  # of one place
_COLUMNS = (1, 4, 10)  # of scores, boxes and landmarks
_SCORE = 0.5
_OVERLAP = 0.4


class Network:
    """An .onnx file that takes one photo.

    Attributes:
      path: of the file.
      names: of the outputs, in the order of the file.
      size: (height, width) of the input in pixels.
      tables: (rows, columns) of each output, without the batch; its whole shape where it is no
        table. They are found by a run: what files declare is often wrong, or left open.
    """

    def __init__(self, path: str | Path):
        """Loads a network.

        Raises:
          InputError: the file is no network, or takes no photo.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # images run side by side in the loader instead
        options.log_severity_level = 3
        with _named(path):
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        inputs = [(i.name, i.shape) for i in self._session.get_inputs()]
        if len(inputs) != 1 or len(inputs[0][1]) != 4 or inputs[0][1][1] != 3:
            found = ", ".join(f"{name} {shape}" for name, shape in inputs)
            raise InputError(
                f"{path}: it takes {found}; a face detector takes 1 photo (1, 3, H, W)"
            )
        self.path, (self._input, shape) = path, inputs[0]
        self.names = [output.name for output in self._session.get_outputs()]
        self.size = tuple(n if isinstance(n, int) and n > 0 else _SIDE for n in shape[2:])
        with _named(path):
            outputs = self(np.zeros((*self.size, 3), np.float32))
            self.tables = [_table(output.shape) for output in outputs]

    def __call__(self, pixels: np.ndarray) -> list[np.ndarray]:
        """Runs (*size, 3) float32 pixels; gives the outputs in the order of the file."""
        data = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
        return self._session.run(None, {self._input: data})


@contextlib.contextmanager
def _named(path: str | Path) -> Iterator[None]:
    """Turns what onnxruntime raises into an error that names the file."""
    try:
        yield
    except Exception as error:  # its errors have no narrower class in common
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not a network that onnxruntime can run ({reason})") from None


def _table(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[-2:] if math.prod(shape[:-2]) == 1 else shape


def letterbox(image: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Fits a photo into the top left of a black canvas, as large as its proportions allow.

    Args:
      image: (H, W, 3) uint8.
      size: height and width of the canvas.

    Returns:
      (*size, 3) float32, and the factors in x and y by which the photo was scaled, (2,) float64.
    """
    height, width = image.shape[:2]
    if height * size[1] > width * size[0]:
        rows, columns = size[0], max(1, width * size[0] // height)
    else:
        rows, columns = max(1, height * size[1] // width), size[1]
    canvas = np.zeros((*size, 3), np.float32)
    canvas[:rows, :columns] = cv2.resize(image, (columns, rows))
    return canvas, np.array([columns / width, rows / height])


def places(size: tuple[int, int], stride: int, anchors: int) -> np.ndarray:
    """Where the anchors of a stride are, counted in strides.

    Returns:
      (n, 2) x and y: row by row, the anchors of a place one after the other.
    """
    height, width = (-(-side // stride) for side in size)
    y, x = np.mgrid[:height, :width].reshape(2, -1)
    return np.repeat(np.stack([x, y], 1), anchors, axis=0)


def best(
    boxes: np.ndarray, landmarks: np.ndarray, scores: np.ndarray, factors: np.ndarray
) -> Faces:
    """The sure ones of many overlapping faces, the surest first, in pixels of the photo.

    Args:
      boxes: (n, 4) left, top, right, bottom in pixels of the canvas.
      landmarks: (n, 10) x and y in turn.
      scores: (n,).
      factors: (2,), from `letterbox`.
    """
    sure = np.flatnonzero(scores > _SCORE)  # few of many thousands, and OpenCV takes lists
    sides = boxes[sure, 2:] - boxes[sure, :2]
    corners_and_sides = np.hstack([boxes[sure, :2], sides])
    keep = cv2.dnn.NMSBoxes(corners_and_sides, scores[sure], _SCORE, _OVERLAP)
    keep = sure[np.array(keep, np.int64)]
    boxes = boxes[keep] / np.tile(factors, 2)
    landmarks = landmarks[keep].reshape(-1, 5, 2) / factors
    return Faces(*(np.float32(part) for part in (boxes, landmarks, scores[keep])))


class _Level(NamedTuple):
    """One stride: how many anchors a place has, and which outputs are scores, boxes, landmarks."""

    stride: int
    anchors: int
    outputs: tuple[int, ...]


class SCRFD:
    """The detector; `detector(image) -> Faces`."""

    def __init__(self, network: Network, levels: Sequence[_Level]):
        self._network, self._levels = network, levels

    @classmethod
    def of(cls, network: Network) -> Self | None:
        """The detector that a network is, if it is one: outputs are told by their shapes alone."""
        for strides in _STRIDES:
            for anchors in _ANCHORS:
                rows = [len(places(network.size, stride, anchors)) for stride in strides]
                wanted = [(n, columns) for n in rows for columns in _COLUMNS]
                if sorted(wanted) == sorted(network.tables):
                    at = [network.tables.index(table) for table in wanted]
                    trios = zip(at[::3], at[1::3], at[2::3], strict=True)
                    return cls(network, [_Level(s, anchors, t) for s, t in zip(strides, trios)])
        return None

    def __call__(self, image: np.ndarray) -> Faces:
        """Finds faces in an (H, W, 3) uint8 RGB image, the surest first."""
        canvas, factors = letterbox(image, self._network.size)
        outputs = self._network((canvas - 127.5) / 128)
        found = [self._decode(level, outputs) for level in self._levels]
        boxes, landmarks, scores = (np.concatenate(parts) for parts in zip(*found))
        return best(boxes, landmarks, scores, factors)

    def _decode(self, level: _Level, outputs: list[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Boxes, landmarks and scores of one stride, in pixels of the canvas."""
        scores, distances, offsets = (
            outputs[row].reshape(-1, columns) for row, columns in zip(level.outputs, _COLUMNS)
        )
        at = places(self._network.size, level.stride, level.anchors)
        boxes = np.hstack([at - distances[:, :2], at + distances[:, 2:]])
        landmarks = np.tile(at, 5) + offsets
        return boxes * level.stride, landmarks * level.stride, scores[:, 0]
