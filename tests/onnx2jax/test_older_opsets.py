"""What changed since opset 7, and variants the node tests lack, against onnxruntime."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 4, 6, 6)).astype(np.float32)
C = RNG.uniform(0.5, 1.5, 4).astype(np.float32)
Z = np.zeros(0, np.float32)


def weights(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


# (opset, operator, input, stored inputs, attributes)
CASES = [
    (7, "BatchNormalization", X, [C, C, C, C], {}),
    (9, "BatchNormalization", X, [C, C, C, C], {"epsilon": 0.1}),
    (7, "Clip", X, [], {"min": -0.5, "max": 0.7}),
    (10, "Clip", X, [], {"max": 0.7}),
    (11, "Clip", X, [np.float32(-0.5)], {}),
    (7, "Dropout", X, [], {"ratio": 0.3}),
    (10, "Dropout", X, [], {}),
    (12, "Dropout", X, [np.float32(0.3)], {}),
    (7, "Softmax", X, [], {}),
    (12, "Softmax", X, [], {"axis": 2}),
    (13, "Softmax", X, [], {}),
    (7, "LogSoftmax", X, [], {}),
    (11, "LogSoftmax", X, [], {"axis": -2}),
    (11, "Hardmax", X, [], {}),
    (7, "Squeeze", X[:1, :, :1], [], {"axes": [0, 2]}),
    (11, "Squeeze", X[:1, :, :1], [], {"axes": [-2]}),
    (13, "Squeeze", X[:1, :, :1], [], {}),
    (13, "Squeeze", X[:1, :, :1], [ints(0)], {}),
    (7, "Unsqueeze", X, [], {"axes": [0, 3]}),
    (11, "Unsqueeze", X, [], {"axes": [-1]}),
    (7, "ReduceSum", X, [], {"axes": [1, 3], "keepdims": 0}),
    (11, "ReduceSum", X, [], {"axes": [-1]}),
    (13, "ReduceSum", X, [ints(1)], {}),
    (7, "ReduceMean", X, [], {"axes": [2, 3]}),
    (17, "ReduceMean", X, [], {"axes": [2, 3], "keepdims": 0}),
    (18, "ReduceMean", X, [ints(2, 3)], {}),
    (12, "ReduceMax", X, [], {}),
    (13, "ReduceL2", X, [], {"axes": [1]}),
    (7, "Slice", X, [], {"starts": [0, -3], "ends": [9, -1], "axes": [1, 3]}),
    (10, "Slice", X, [ints(-1, 5), ints(0, -99), ints(2, 3), ints(-2, -1)], {}),
    (7, "Pad", X, [], {"pads": [0, 0, 1, 2, 0, 0, 3, 0], "value": 0.5}),
    (10, "Pad", X, [], {"pads": [0, 0, 1, 2, 0, 0, 3, 0], "mode": "reflect"}),
    (11, "Pad", X, [ints(0, 0, 1, 2, 0, 0, -3, 0), np.float32(2)], {}),
    (13, "Pad", X, [ints(0, 1, 1, 2, 0, 0, 3, 0)], {"mode": "edge"}),
    (7, "Split", X, [], {"axis": 1, "split": [1, 3]}),
    (11, "Split", X, [], {"axis": -1}),
    (13, "Split", X, [ints(4, 2)], {"axis": 2}),
    (7, "TopK", X, [], {"k": 3, "axis": 1}),
    (10, "TopK", X, [ints(2)], {"axis": -1}),
    (7, "Upsample", X, [], {"scales": [1.0, 1.0, 2.0, 1.5]}),
    (9, "Upsample", X, [np.float32([1, 1, 2, 3])], {}),
    (9, "Upsample", X, [np.float32([1, 1, 2, 2])], {"mode": "linear"}),
    (10, "Resize", X, [np.float32([1, 1, 1.5, 0.5])], {}),
    (10, "Resize", X, [np.float32([1, 1, 1.5, 2])], {"mode": "linear"}),
    (11, "Resize", X, [Z, np.float32([1, 1, 2, 2])], {"mode": "cubic"}),
    (11, "Resize", X, [Z, Z, ints(2, 4, 9, 4)], {"mode": "linear"}),
    (
        11,
        "Resize",
        X,
        [Z, Z, ints(2, 4, 3, 4)],
        {"coordinate_transformation_mode": "tf_half_pixel_for_nn"},
    ),
    (
        13,
        "Resize",
        X,
        [Z, Z, ints(2, 4, 11, 4)],
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    ),
    (
        18,
        "Resize",
        X,
        [Z, np.float32([0.6, 0.7])],
        {"mode": "linear", "antialias": 1, "axes": [2, 3]},
    ),
    (7, "Gemm", X[0, 0], [weights(6, 3), weights(3)], {"alpha": 0.5, "beta": 2.0}),
    (11, "Gemm", X[0, 0], [weights(3, 6)], {"transA": 1, "transB": 1}),
    (7, "Flatten", X, [], {"axis": 2}),
    (11, "Flatten", X, [], {"axis": -1}),
    (7, "Cast", X, [], {"to": 6}),
    (7, "DepthToSpace", X, [], {"blocksize": 2}),
    (11, "DepthToSpace", X, [], {"blocksize": 2, "mode": "CRD"}),
    (7, "PRelu", X, [weights(4, 1, 1)], {}),
    (7, "LRN", X, [], {"size": 3, "alpha": 0.1}),
    (7, "MaxPool", X, [], {"kernel_shape": [3, 2], "strides": [2, 2]}),
    (
        10,
        "MaxPool",
        X,
        [],
        {"kernel_shape": [2, 2], "strides": [2, 2], "dilations": [2, 2], "ceil_mode": 1},
    ),
    (7, "AveragePool", X, [], {"kernel_shape": [3, 3], "pads": [1, 1, 0, 1]}),
    (
        11,
        "AveragePool",
        X,
        [],
        {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
    ),
    (
        19,
        "AveragePool",
        X,
        [],
        {
            "kernel_shape": [3, 3],
            "strides": [2, 2],
            "ceil_mode": 1,
            "count_include_pad": 1,
            "pads": [1, 1, 1, 1],
        },
    ),
    (7, "Conv", X, [weights(6, 2, 3, 3), weights(6)], {"group": 2, "dilations": [2, 1]}),
    (
        11,
        "Conv",
        X,
        [weights(4, 1, 3, 3)],
        {"group": 4, "auto_pad": "SAME_UPPER", "strides": [2, 2]},
    ),
    (11, "Conv", X[0], [weights(5, 6, 2)], {"pads": [1, 0]}),
    (11, "Conv", X[None], [weights(3, 2, 1, 2, 3)], {"auto_pad": "VALID"}),
    (
        7,
        "ConvTranspose",
        X,
        [weights(4, 3, 3, 3), weights(6)],
        {"group": 2, "strides": [2, 3], "pads": [1, 0, 1, 1], "output_padding": [1, 0]},
    ),
    (
        11,
        "ConvTranspose",
        X,
        [weights(4, 2, 3, 2)],
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
    ),
    (
        11,
        "ConvTranspose",
        X,
        [weights(4, 2, 3, 3)],
        {"strides": [2, 2], "output_shape": [12, 13]},
    ),
    (18, "GroupNormalization", X, [C[:2], C[:2]], {"num_groups": 2}),
    (21, "GroupNormalization", X, [C, C], {"num_groups": 2}),
    (13, "QuantizeLinear", X, [C * 0.1, np.zeros(4, np.int8)], {"axis": 1}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[1]}-{c[0]}")
def test_agrees_with_onnxruntime(case, agree):
    opset, name, x, stored, attributes = case
    tensors = [numpy_helper.from_array(v, f"stored_{i}") for i, v in enumerate(stored)]
    names = [t.name if t.dims != [0] else "" for t in tensors]
    if opset < 13:  # absent inputs of Resize had to be there, and empty
        names = [t.name for t in tensors]
    outputs = ["y", "z"] if name in ("Split", "TopK") else ["y"]
    node = helper.make_node(name, ["x", *names], outputs, **attributes)
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", kind, [None, *x.shape[1:]])],
        [onnx.ValueInfoProto(name=n) for n in outputs],
        tensors,
    )
    opsets = [helper.make_opsetid("", opset)]
    agree(helper.make_model(graph, opset_imports=opsets, ir_version=8), {"x": x}, 1)
