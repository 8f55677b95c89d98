"""Detectors of users: networks built in the published output forms, against closed forms.

In these networks a stride sees a face in a cell of one pure colour of its own, and boxes and
landmarks are constants, so that all that comes out is known from where the cells were painted.
"""

import pickle

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from data_pipelines.detection import Lazy, YuNet, load
from data_pipelines.errors import InputError

COLOURS = {
    8: (255, 0, 0),
    16: (0, 255, 0),
    32: (0, 0, 255),
    64: (255, 255, 0),
    128: (0, 255, 255),
}
SIDES = {8: (16, 32), 16: (64, 128), 32: (256, 512)}  # of RetinaFace's priors
MEAN = (123, 117, 104)  # that RetinaFace takes away; red, green, blue
PENALTY = 0.8  # of the logit of a place's second anchor
CELLS = [(8, 3, 5), (16, 17, 4), (32, 2, 8), (8, 40, 30)]  # stride, and x and y counted in it


def _signs(stride):
    return np.where(COLOURS[stride], 1, -1)


def _score(colour, stride, anchor, mean):
    """How sure a network is of a cell."""
    logit = 4 * (_signs(stride) @ (np.subtract(colour, mean) / 128) - 2) - PENALTY * anchor
    return 1 / (1 + np.exp(-logit))


def _distances(stride, anchor):
    """SCRFD's box, (4,), and landmarks, (5, 2); anchors of a place do not suppress each other."""
    rng = np.random.default_rng(stride + anchor)
    return rng.uniform(1, 1.5, 4) + 3 * anchor, rng.uniform(-1, 1, (5, 2))


def _codes(stride, anchor):
    """RetinaFace's box, (4,), and landmarks, (5, 2)."""
    rng = np.random.default_rng(stride + anchor)
    return rng.uniform(-0.2, 0.2, 4), rng.uniform(-3, 3, (5, 2))


class _Graph:
    """Nodes and weights of a network over `x`."""

    def __init__(self):
        self.nodes, self.weights = [], []

    def add(self, operator, inputs, **attributes):
        names = [self._name(value) for value in inputs]
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, names, [output], **attributes))
        return output

    def _name(self, value):
        if isinstance(value, str):
            return value
        self.weights.append(numpy_helper.from_array(np.array(value), f"w{len(self.weights)}"))
        return self.weights[-1].name

    def head(self, stride, of_colour, constants, columns, batch):
        """Rows of `columns`, as PyTorch's heads: linear in the mean colour of a cell."""
        of_colour = np.float32(of_colour).reshape(-1, 3, 1, 1)
        weights = np.tile(of_colour / stride**2, (1, 1, stride, stride))
        found = self.add("Conv", ["x", weights, np.float32(constants)], strides=[stride, stride])
        found = self.add("Transpose", [found], perm=[0, 2, 3, 1])
        return self.add("Reshape", [found, np.int64([*batch, -1, columns])])

    def write(self, path, outputs, size=None, batch=1, channels=3):
        """Saves the network; the order of outputs is nobody's."""
        order = np.random.default_rng(0).permutation(len(outputs))
        typed = [helper.make_tensor_value_info(outputs[i], TensorProto.FLOAT, None) for i in order]
        shape = [batch, channels, *(size or ("height", "width"))]
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
        graph = helper.make_graph(self.nodes, "detector", [x], typed, self.weights)
        opset = helper.make_opsetid("", 13)
        onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
        return path


def _scrfd(path, strides=(8, 16, 32), anchors=2, batch=(), size=None, landmarks=True):
    graph, outputs = _Graph(), []
    for stride in strides:
        boxes, marks = zip(*(_distances(stride, anchor) for anchor in range(anchors)))
        logits = [-8 - PENALTY * anchor for anchor in range(anchors)]
        scores = graph.head(stride, [4 * _signs(stride)] * anchors, logits, 1, batch)
        outputs.append(graph.add("Sigmoid", [scores]))
        for values, columns in ((boxes, 4), (marks, 10))[: 1 + landmarks]:
            zeros = np.zeros((anchors * columns, 3))
            outputs.append(graph.head(stride, zeros, np.ravel(values), columns, batch))
    return graph.write(path, outputs, size)


def _retinaface(path, size=None, decoded=False, softmax=True):
    graph, parts = _Graph(), {2: [], 4: [], 10: []}
    for stride in SIDES:
        boxes, marks = zip(*(_codes(stride, anchor) for anchor in range(2)))
        signs = _signs(stride)[::-1] / 32  # blue comes first
        parts[2].append(graph.head(stride, [0 * signs, signs] * 2, [0, -8, 0, -8.8], 2, (1,)))
        for values, columns in ((boxes, 4), (marks, 10)):
            zeros = np.zeros((2 * columns, 3))
            parts[columns].append(graph.head(stride, zeros, np.ravel(values), columns, (1,)))
    scores, boxes, marks = (graph.add("Concat", part, axis=1) for part in parts.values())
    scores = graph.add("Softmax", [scores], axis=-1) if softmax else scores
    boxes = graph.add("Exp", [boxes]) if decoded else boxes
    return graph.write(path, [scores, boxes, marks], size)


def _paint(size, cells):
    image = np.zeros((*size, 3), np.uint8)
    for stride, x, y, *colour in cells:
        area = image[y * stride : (y + 1) * stride, x * stride : (x + 1) * stride]
        area[:] = colour or COLOURS[stride]
    return image


def _scrfd_faces(cells, anchors=2):
    """Rows of box, landmarks and score, (n, 15), the surest first, from the paper's equations."""
    rows = []
    for stride, x, y, *colour in cells:
        for anchor in range(anchors):
            (left, top, right, bottom), marks = _distances(stride, anchor)
            box = x - left, y - top, x + right, y + bottom
            score = _score(colour or COLOURS[stride], stride, anchor, 127.5)
            rows.append([*np.multiply(box, stride), *((marks + (x, y)) * stride).flat, score])
    return _sorted(rows)


def _retinaface_faces(cells):
    rows = []
    for stride, x, y in cells:
        for anchor, side in enumerate(SIDES[stride]):
            (dx, dy, dw, dh), marks = _codes(stride, anchor)
            middle = np.array([(x + 0.5) * stride, (y + 0.5) * stride])
            sides = side * np.exp(0.2 * np.array([dw, dh]))
            corner = middle + 0.1 * side * np.array([dx, dy]) - sides / 2
            score = _score(COLOURS[stride], stride, anchor, MEAN)
            marks = middle + 0.1 * side * marks
            rows.append([*corner, *(corner + sides), *marks.flat, score])
    return _sorted(rows)


def _sorted(rows):
    """By score, then by place: where cells are alike, the order is nobody's."""
    rows = np.array(rows)
    return rows[np.lexsort([rows[:, 0], -np.round(rows[:, -1], 5)])]


def _agree(faces, expected, atol=1e-3):
    assert [part.dtype for part in faces] == [np.float32] * 3
    assert (np.diff(faces.scores) <= 0).all()
    rows = np.hstack([faces.boxes, faces.landmarks.reshape(-1, 10), faces.scores[:, None]])
    np.testing.assert_allclose(_sorted(rows), expected, atol=atol)


@pytest.mark.parametrize("batch", [(), (1,)])
@pytest.mark.parametrize("anchors", [1, 2])
@pytest.mark.parametrize("size", [None, (384, 512)])
def test_scrfd_of_three_strides(tmp_path, batch, anchors, size):
    detect = load(_scrfd(tmp_path / "d.onnx", anchors=anchors, batch=batch, size=size))
    photo = _paint(size or (640, 640), CELLS)
    _agree(detect(photo), _scrfd_faces(CELLS, anchors))


@pytest.mark.parametrize("batch", [(), (1,)])
@pytest.mark.parametrize("anchors", [1, 2])
def test_scrfd_of_five_strides(tmp_path, batch, anchors):
    path = _scrfd(tmp_path / "d.onnx", tuple(COLOURS), anchors, batch)
    cells = [*CELLS, (64, 8, 7), (128, 3, 2)]
    _agree(load(path)(_paint((640, 640), cells)), _scrfd_faces(cells, anchors))


@pytest.mark.parametrize("size", [None, (384, 512)])
def test_retinaface(tmp_path, size):
    detect = load(_retinaface(tmp_path / "d.onnx", size))
    photo = _paint(size or (640, 640), CELLS)
    _agree(detect(photo), _retinaface_faces(CELLS))


@pytest.mark.parametrize(
    "shape, factors, size",
    [
        ((640, 480), (1, 1), None),  # filled up on the right
        ((200, 320), (2, 2), None),  # enlarged, filled up below
        ((320, 200), (2, 2), None),
        ((960, 1280), (0.5, 0.5), None),
        ((250, 333), (640 / 333, 480 / 250), None),  # no factor in common: sides are whole pixels
        ((192, 224), (2, 2), (384, 512)),  # wide, but less so than the canvas
    ],
)
@pytest.mark.parametrize("write, faces", [(_scrfd, _scrfd_faces), (_retinaface, _retinaface_faces)])
def test_photos_are_fitted_into_the_top_left(tmp_path, write, faces, shape, factors, size):
    cells = [(16, 4, 7), (32, 9, 2), (16, 16, 20)]
    inside = [round(side * factor) for side, factor in zip(shape, factors[::-1])]
    photo = cv2.resize(_paint(inside, cells), shape[::-1], interpolation=cv2.INTER_AREA)
    found = Lazy(write(tmp_path / "d.onnx", size=size))(photo)
    expected = faces(cells)[:, :14] / np.tile(factors, 7)
    rows = np.hstack([found.boxes, found.landmarks.reshape(-1, 10)])
    assert len(rows) == len(expected)
    rows, expected = (part[np.lexsort(part.T)] for part in (rows, expected))
    np.testing.assert_allclose(rows, expected, atol=1e-3)


def test_overlapping_faces_are_one(tmp_path):
    detect = load(_scrfd(tmp_path / "d.onnx", anchors=1))
    dim = (235, 10, 0)
    _, top, _, bottom = _distances(8, 0)[0]
    height = top + bottom
    overlaps = [(height - shift) / (height + shift) for shift in (1, 2)]
    assert overlaps[0] > 0.4 > overlaps[1]
    cells = [(8, 20, 20), (8, 20, 21, *dim), (8, 50, 50), (8, 50, 52, *dim), (8, 9, 52, *dim)]
    _agree(detect(_paint((640, 640), cells)), _scrfd_faces([cells[0], *cells[2:]], 1))


@pytest.mark.parametrize("write", [_scrfd, _retinaface])
def test_no_face(tmp_path, write):
    for value in (0, 255):
        faces = Lazy(write(tmp_path / "d.onnx"))(np.full((90, 40, 3), value, np.uint8))
        assert [part.shape for part in faces] == [(0, 4), (0, 5, 2), (0,)]
        assert [part.dtype for part in faces] == [np.float32] * 3


def test_photos_of_extreme_proportions(tmp_path):
    detect = Lazy(_scrfd(tmp_path / "d.onnx"))
    for shape in ((1, 3000, 3), (3000, 1, 3), (1, 1, 3)):
        assert not len(detect(np.zeros(shape, np.uint8)).scores)


def test_lazy_detectors_of_files_pickle(tmp_path):
    detect = Lazy(_scrfd(tmp_path / "d.onnx"))
    photo = _paint((640, 640), CELLS)
    first = detect(photo)
    for ours, theirs in zip(pickle.loads(pickle.dumps(detect))(photo), first):
        np.testing.assert_array_equal(ours, theirs)


def test_other_networks_are_refused(tmp_path):
    path = tmp_path / "d.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(InputError, match="d.onnx: not a network"):
        load(path)
    _scrfd(path, landmarks=False)
    with pytest.raises(InputError, match="d.onnx: not a face detector.*YuNet.*12800x1, .*12800x4"):
        load(path)
    _scrfd(path, anchors=3)
    with pytest.raises(InputError, match="d.onnx: not a face detector.*SCRFD.*RetinaFace"):
        load(path)
    for wrong in ({"decoded": True}, {"softmax": False}):
        _retinaface(path, **wrong)
        with pytest.raises(InputError, match="d.onnx: a RetinaFace that decodes.*phase 'test'"):
            load(path)
    _Graph().write(path, ["x"], channels=1)
    with pytest.raises(InputError, match=r"d.onnx: it takes x \[1, 1, .* \(1, 3, H, W\)"):
        load(path)
    _Graph().write(path, ["x"], batch=64)
    with pytest.raises(InputError, match="d.onnx: not a network that onnxruntime can run"):
        load(path)


def test_a_network_of_another_purpose_is_refused(test_data):
    with pytest.raises(InputError, match="casia.onnx: not a face detector.*outputs are 1x128"):
        load(test_data / "models" / "mobilefacenet_casia.onnx")


def test_messages_are_one_line(tmp_path):
    graph = _Graph()
    scores = graph.head(8, np.eye(3), np.zeros(3), 4, (7,))
    with pytest.raises(InputError) as caught:
        load(graph.write(tmp_path / "d.onnx", [scores], size=(32, 32)))
    assert "\n" not in str(caught.value)


def test_yunet_is_told_by_its_graph(test_data):
    path = test_data / "models" / "yunet_2023mar.onnx"
    photo = cv2.imread(str(next((test_data / "faces" / "lfw10").glob("*/*.jpg"))))[..., ::-1]
    detector = load(path)
    assert isinstance(detector, YuNet)
    for ours, theirs in zip(Lazy(path)(photo), YuNet(path)(photo)):
        np.testing.assert_array_equal(ours, theirs)
