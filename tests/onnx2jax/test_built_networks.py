"""Networks of newer kinds, built here with random weights, against onnxruntime."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper


class Builder:
    """A graph under construction; every method adds nodes and returns a tensor's name."""

    def __init__(self, opset=17, seed=0):
        self.nodes, self.weights, self.opset = [], [], opset
        self.rng = np.random.default_rng(seed)

    def op(self, kind, *inputs, **attributes):
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def tensor(self, value, dtype=np.float32):
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def random(self, *shape):
        scale = np.prod(shape[1:]) ** -0.5 if len(shape) > 1 else 0.1
        return self.tensor(self.rng.standard_normal(shape) * scale)

    def ints(self, *values):
        return self.tensor(values, np.int64)

    def conv(self, x, ins, outs, k=1, s=1, group=1):
        w, b = self.random(outs, ins // group, k, k), self.random(outs)
        return self.op("Conv", x, w, b, pads=[k // 2] * 4, strides=[s, s], group=group)

    def batch_norm(self, x, channels):
        positive = self.tensor(self.rng.uniform(0.5, 1.5, channels))
        shift = self.random(channels)
        return self.op("BatchNormalization", x, positive, shift, shift, positive)

    def linear(self, x, ins, outs):
        return self.op("Add", self.op("MatMul", x, self.random(ins, outs)), self.random(outs))

    def model(self, output, shape):
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "built",
            [value("x", TensorProto.FLOAT, shape)],
            [onnx.ValueInfoProto(name=output)],
            self.weights,
        )
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def mb_conv(b, x, ins, outs, stride):
    """Expansion, depthwise convolution, squeeze and excitation, projection; swish."""

    def swish(x):
        return b.op("Mul", x, b.op("Sigmoid", x))

    wide = 4 * ins
    y = swish(b.batch_norm(b.conv(x, ins, wide), wide))
    y = swish(b.batch_norm(b.conv(y, wide, wide, 3, stride, group=wide), wide))
    gate = b.op("GlobalAveragePool", y)
    gate = b.op("Sigmoid", b.conv(swish(b.conv(gate, wide, ins // 4)), ins // 4, wide))
    y = b.batch_norm(b.conv(b.op("Mul", y, gate), wide, outs), outs)
    return b.op("Add", x, y) if stride == 1 and ins == outs else y


def efficient_net(batch):
    b = Builder()
    x = b.conv("x", 3, 16, 3, 2)
    for ins, outs, stride in [(16, 16, 1), (16, 24, 2), (24, 24, 1), (24, 32, 2)]:
        x = mb_conv(b, x, ins, outs, stride)
    x = b.op("Flatten", b.op("GlobalAveragePool", x))
    logits = b.op("Gemm", x, b.random(10, 32), b.random(10), transB=1)
    return b.model(b.op("Softmax", logits), [batch, 3, 32, 32])


def ghost(b, x, ins, outs):
    """Half of the channels by convolution, half by a cheap depthwise one of them."""
    half = outs // 2
    primary = b.op("Relu", b.conv(x, ins, half))
    cheap = b.op("Relu", b.conv(primary, half, half, 3, group=half))
    both = b.op("Concat", primary, cheap, axis=1)
    return b.op("Slice", both, b.ints(0), b.ints(outs), b.ints(1))


def ghost_net(batch):
    b = Builder(opset=12)
    y = ghost(b, "x", 16, 32)
    y = b.conv(y, 32, 32, 3, 2, group=32)
    gate = b.op("ReduceMean", y, axes=[2, 3], keepdims=1)
    gate = b.op("HardSigmoid", b.conv(gate, 32, 32), alpha=1 / 6, beta=0.5)
    y = ghost(b, b.op("Mul", y, gate), 32, 24)
    size = [b.op("Gather", b.op("Shape", y), b.tensor(axis, np.int64), axis=0) for axis in (2, 3)]
    doubled = [b.op("Unsqueeze", b.op("Mul", s, b.tensor(2, np.int64)), axes=[0]) for s in size]
    head = b.op("Slice", b.op("Shape", y), b.ints(0), b.ints(2))
    sizes = b.op("Concat", head, *doubled, axis=0)
    none = b.tensor([])
    up = b.op("Resize", y, none, none, sizes, mode="linear")
    return b.model(b.op("PRelu", up, b.random(24, 1, 1)), [batch, 16, 16, 16])


def attention(b, x, width, heads):
    """Multi-head self-attention, heads split by Reshapes that know the batch by `first`."""
    parts = []
    for _ in range(3):
        y = b.op("Reshape", b.linear(x, width, width), b.ints(*b.first, heads, width // heads))
        parts.append(b.op("Transpose", y, perm=[0, 2, 1, 3]))
    q, k, v = parts
    scores = b.op("MatMul", q, b.op("Transpose", k, perm=[0, 1, 3, 2]))
    scores = b.op("Mul", scores, b.tensor((width // heads) ** -0.5))
    y = b.op("MatMul", b.op("Softmax", scores, axis=-1), v)
    y = b.op("Transpose", y, perm=[0, 2, 1, 3])
    return b.linear(b.op("Reshape", y, b.ints(*b.first, width)), width, width)


def layer_norm(b, x, width):
    scale = b.tensor(b.rng.uniform(0.5, 1.5, width))
    return b.op("LayerNormalization", x, scale, b.random(width))


def vision_transformer(batch):
    """Two blocks; where the batch is fixed it is baked into Reshapes and class token."""
    b, width, tokens = Builder(), 32, 16
    b.first = (batch or -1, tokens + 1)
    x = b.op("Conv", "x", b.random(width, 3, 8, 8), b.random(width), strides=[8, 8])
    x = b.op("Reshape", x, b.ints(batch or 0, width, -1))
    x = b.op("Transpose", x, perm=[0, 2, 1])
    token = b.random(1, 1, width)
    if batch is None:
        rows = b.op("Slice", b.op("Shape", "x"), b.ints(0), b.ints(1))
        token = b.op("Expand", token, b.op("Concat", rows, b.ints(1, width), axis=0))
    x = b.op("Add", b.op("Concat", token, x, axis=1), b.random(1, tokens + 1, width))
    for _ in range(2):
        x = b.op("Add", x, attention(b, layer_norm(b, x, width), width, 4))
        y = b.linear(layer_norm(b, x, width), width, 64)
        erf = b.op("Erf", b.op("Div", y, b.tensor(2**0.5)))
        gelu = b.op("Mul", b.op("Mul", y, b.op("Add", erf, b.tensor(1))), b.tensor(0.5))
        x = b.op("Add", x, b.linear(gelu, 64, width))
    x = b.op("Gather", layer_norm(b, x, width), b.tensor(0, np.int64), axis=1)
    return b.model(b.linear(x, width, 10), [batch, 3, 32, 32])


@pytest.mark.parametrize("declared", [None, 1], ids=["free", "fixed"])
@pytest.mark.parametrize("build", [efficient_net, ghost_net, vision_transformer])
def test_network(build, declared, agree):
    """At a free batch and at one that the file fixes otherwise."""
    model = build(declared)
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(1).standard_normal((3, *shape[1:]), np.float32)
    agree(model, {"x": x}, every=1)


def quantised_convolution():
    b = Builder(opset=13)
    scale, zero = b.tensor(0.05), b.tensor(128, np.uint8)
    x = b.op("QuantizeLinear", "x", scale, zero)
    # Weights of 7 bits: without VNNI onnxruntime adds two products in 16 bits, which saturate.
    w = b.tensor(b.rng.integers(-64, 64, (8, 3, 3, 3)), np.int8)
    w_scale = b.tensor(b.rng.uniform(0.001, 0.01, 8))
    w_zero = b.tensor(np.zeros(8), np.int8)
    y_scale = b.tensor(0.1)
    bias = b.tensor(b.rng.integers(-1000, 1000, 8), np.int32)
    args = (x, scale, zero, w, w_scale, w_zero, y_scale, zero, bias)
    y = b.op("QLinearConv", *args, pads=[1, 1, 1, 1], strides=[2, 2])
    return b.model(b.op("DequantizeLinear", y, y_scale, zero), [None, 3, 16, 16])


def test_quantised_network(agree):
    """One step of the output's quantisation is allowed: onnxruntime rounds in float32."""
    x = np.random.default_rng(1).standard_normal((2, 3, 16, 16), np.float32)
    agree(quantised_convolution(), {"x": x}, every=1000, tolerance=1 / 120)
