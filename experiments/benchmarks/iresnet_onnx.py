"""IResNets in ONNX as InsightFace publishes them, with random weights."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BLOCKS = {
    "iresnet18": (2, 2, 2, 2),
    "iresnet50": (3, 4, 14, 3),
    "iresnet100": (3, 13, 30, 3),
}


class _Writer:
    """One network; `folded` and the other variants as published exports differ."""

    def __init__(self, folded, identity, half, epsilon, seed):
        self.folded, self.identity = folded, identity
        self.half, self.epsilon = half, epsilon
        self.generator = np.random.default_rng(seed)
        self.nodes, self.stored, self.count = [], [], 0

    def store(self, array):
        self.count += 1
        name = f"w{self.count}"
        dtype = np.float16 if self.half else np.float32
        self.stored.append(numpy_helper.from_array(np.asarray(array, dtype), name))
        if self.half == "cast":
            return self.node("Cast", [name], to=TensorProto.FLOAT)
        return name

    def node(self, op_type, inputs, **attributes):
        self.count += 1
        output = f"t{self.count}"
        self.nodes.append(helper.make_node(op_type, inputs, [output], **attributes))
        return output

    def normal(self, *shape):
        return self.generator.standard_normal(shape).astype(np.float32)

    def norm_values(self, channels, scale=1.0):
        spread = self.generator.uniform(0.5, 1.5, (2, channels)).astype(np.float32)
        shift, mean = self.normal(2, channels) * 0.1
        return spread[0] * scale, shift, mean, spread[1]

    def norm(self, x, channels, scale=1.0):
        stored = [self.store(value) for value in self.norm_values(channels, scale)]
        x = self.node("BatchNormalization", [x, *stored], epsilon=self.epsilon, momentum=0.9)
        return self.node("Identity", [x]) if self.identity else x

    def conv(self, x, inputs, outputs, size, stride, scale=1.0):
        kernel = self.normal(outputs, inputs, size, size) * (2 / inputs / size**2) ** 0.5
        options = {"kernel_shape": [size] * 2, "strides": [stride] * 2, "dilations": [1, 1]}
        options |= {"pads": [size // 2] * 4, "group": 1}
        if not self.folded:
            x = self.node("Conv", [x, self.store(kernel)], **options)
            return self.norm(x, outputs, scale)
        gamma, beta, mean, variance = self.norm_values(outputs, scale)
        factor = gamma / np.sqrt(variance + self.epsilon)
        kernel, bias = kernel * factor[:, None, None, None], beta - mean * factor
        return self.node("Conv", [x, self.store(kernel), self.store(bias)], **options)

    def prelu(self, x, channels):
        return self.node("PRelu", [x, self.store(self.normal(channels, 1, 1) * 0.1 + 0.25)])

    def block(self, x, inputs, outputs, first):
        y = self.norm(x, inputs)
        y = self.prelu(self.conv(y, inputs, outputs, 3, 1), outputs)
        y = self.conv(y, outputs, outputs, 3, 2 if first else 1, scale=0.3)
        shortcut = self.conv(x, inputs, outputs, 1, 2) if first else x
        return self.node("Add", [y, shortcut])


def write(
    path,
    name="iresnet18",
    *,
    width=0.125,
    folded=True,
    identity=False,
    half=None,
    epsilon=1e-5,
    leading=False,
    dropout=False,
    opset=11,
    batch="N",
    size=112,
    declared=None,
    embedding=32,
    seed=0,
):
    """Writes the network to `path`; returns the model."""
    writer = _Writer(folded, identity, half, epsilon, seed)
    widths = [round(width * n) for n in (64, 128, 256, 512)]
    x = "input"
    if leading:
        x = writer.node("Sub", [x, writer.store(np.array([127.5]))])
        x = writer.node("Mul", [x, writer.store(np.array([1 / 128]))])
    x = writer.prelu(writer.conv(x, 3, widths[0], 3, 1), widths[0])
    inputs = widths[0]
    for count, outputs in zip(BLOCKS[name], widths):
        for block in range(count):
            x = writer.block(x, inputs, outputs, first=block == 0)
            inputs = outputs
    x = writer.norm(x, inputs)
    if dropout:
        x = writer.node("Dropout", [x])
    x = writer.node("Flatten", [x], axis=1)
    rows = inputs * (-(-size // 16)) ** 2
    kernel = writer.store(writer.normal(embedding, rows) / rows**0.5)
    x = writer.node("Gemm", [x, kernel, writer.store(writer.normal(embedding))], transB=1)
    x = writer.norm(x, embedding)
    dtype = TensorProto.FLOAT16 if half == "whole" else TensorProto.FLOAT
    side = declared or size
    graph = helper.make_graph(
        writer.nodes,
        "iresnet",
        [helper.make_tensor_value_info("input", dtype, [batch, 3, side, side])],
        [helper.make_tensor_value_info(x, dtype, [batch, embedding])],
        writer.stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    onnx.save(model, path)
    return model
