"""RetinaFace as PyTorch exports it: three outputs over all strides, boxes relative to priors.

Source: Deng et al., "RetinaFace: Single-shot Multi-level Face Localisation in the Wild", CVPR 2020,
arXiv 1905.00641; the coding is that of github.com/biubug6/Pytorch_Retinaface, from which most .onnx
files of this name come. Boxes are coded as in SSD (Liu et al., arXiv 1512.02325, section 2.2).
"""

from typing import Self

import numpy as np
import onnx

from data_pipelines.errors import InputError
from data_pipelines.faces import Faces
from data_pipelines.scrfd import Network, best, letterbox, places

_PRIORS = {8: (16, 32), 16: (64, 128), 32: (256, 512)}  # stride: sides of its squares in pixels
_COLUMNS = (4, 10, 2)  # of boxes, landmarks and scores
_OF_MIDDLE, _OF_SIDES = 0.1, 0.2  # the variances of SSD
_MEAN = np.float32([104, 117, 123])  # blue, green, red


class RetinaFace:
    """The detector; `detector(image) -> Faces`."""

    def __init__(self, network: Network):
        self._network = network
        priors = [_priors(network.size, stride) for stride in _PRIORS]
        self._middles, self._sides = (np.concatenate(parts) for parts in zip(*priors))
        self._outputs = [network.tables.index((len(self._sides), n)) for n in _COLUMNS]

    @classmethod
    def of(cls, network: Network) -> Self | None:
        """The detector that a network is, if it is one: outputs are told by their shapes alone.

        Raises:
          InputError: the outputs have the shapes, but another meaning.
        """
        rows = sum(len(_priors(network.size, stride)[0]) for stride in _PRIORS)
        if sorted(network.tables) != sorted((rows, columns) for columns in _COLUMNS):
            return None
        graph = onnx.load(network.path, load_external_data=False).graph
        operators = {node.op_type for node in graph.node}
        if "Exp" in operators or "Softmax" not in operators:
            raise InputError(
                f"{network.path}: a RetinaFace that decodes its boxes itself or gives no "
                f"probabilities; the form that is understood is an export in phase 'test'"
            )
        return cls(network)

    def __call__(self, image: np.ndarray) -> Faces:
        """Finds faces in an (H, W, 3) uint8 RGB image, the surest first."""
        canvas, factors = letterbox(image, self._network.size)
        outputs = self._network(canvas[..., ::-1] - _MEAN)
        boxes, landmarks, scores = (
            outputs[row].reshape(-1, columns) for row, columns in zip(self._outputs, _COLUMNS)
        )
        middles = self._middles + boxes[:, :2] * _OF_MIDDLE * self._sides
        half = self._sides * np.exp(boxes[:, 2:] * _OF_SIDES) / 2
        boxes = np.hstack([middles - half, middles + half])
        landmarks = np.tile(self._middles, 5) + landmarks * _OF_MIDDLE * self._sides
        return best(boxes, landmarks, scores[:, 1], factors)


def _priors(size: tuple[int, int], stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Middles (n, 2) and sides (n, 1) of the priors of a stride, in pixels."""
    sides = _PRIORS[stride]
    middles = (places(size, stride, len(sides)) + 0.5) * stride
    return middles, np.resize(sides, (len(middles), 1))
