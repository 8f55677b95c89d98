"""InsightFace's IResNet in ONNX becomes variables of our IResNet, by a walk along the
graph.

Tensor and node names differ between exports, so only the topology is read. Both published
forms are understood: Conv and BatchNorm apart, and BatchNorm folded into the Conv before it
(the pre-activation BatchNorm always remains); with or without Identity, Dropout and Cast
nodes and a leading Sub and Mul. Whatever is not understood raises.
"""

import dataclasses
import math
from collections import Counter, defaultdict
from typing import Any

import jax
import numpy as np

from mint_jax.audited import iresnet_model
from mint_jax.audited.iresnet import BLOCKS, STAGES, IResNet
from mint_jax.audited.iresnet_model import OUTCOME
from mint_jax.errors import InputError
from mint_jax.onnx2jax import OnnxModule

_OLDEST_OPSET = 9
_FLOATS = (1, 10, 11, 16)  # ONNX codes of float32, float16, float64 and bfloat16
_RESHAPES = ("Reshape", "Unsqueeze", "Squeeze")
_ATTRIBUTES = {
    "Conv": {"kernel_shape", "strides", "pads", "dilations", "group", "auto_pad"},
    "BatchNormalization": {"epsilon", "momentum", "training_mode", "spatial"},
    "PRelu": set(),
    "Add": set(),
    "Sub": set(),
    "Mul": set(),
    "Div": set(),
    "Flatten": {"axis"},
    "Gemm": {"alpha", "beta", "transA", "transB"},
}
_PLAIN = {  # the only values that are understood, which are also the defaults
    "dilations": [1, 1],
    "group": 1,
    "auto_pad": "NOTSET",
    "training_mode": 0,
    "spatial": 1,
    "axis": 1,
    "alpha": 1.0,
    "beta": 1.0,
    "transA": 0,
}


class NotAnIResNet(InputError):
    """The graph is not an IResNet that we understand; the message says where it differs."""


@dataclasses.dataclass(frozen=True)
class Converted:
    """What the walk along a graph found.

    Attributes:
      architecture: as `mint_jax.audited.save` takes it.
      variables: {"params", "batch_stats"} of that IResNet, NumPy float32.
      normalisation: (mean, scale) of a leading Sub and Mul, None where there is none.
      tensors: {layer: name of the ONNX tensor} of the four stage ends and the outcome.
    """

    architecture: dict[str, Any]
    variables: dict[str, Any]
    normalisation: tuple[float, float] | None
    tensors: dict[str, str]


def convert(module: OnnxModule) -> Converted:
    """Converts an IResNet.

    Raises:
      NotAnIResNet: the graph differs from an IResNet; the message names the node.
    """
    return _Walk(module).run()


class _Walk:
    """Follows the tensors from input to embedding and collects weights on the way."""

    def __init__(self, module: OnnxModule):
        self.module = module
        self.params: dict[str, dict] = {}
        self.statistics: dict[str, dict] = {}
        self.alias: dict[str, str] = {}
        self.consumers = defaultdict(list)
        self.unused = set()
        for node in module.nodes:
            if node.opset < _OLDEST_OPSET:
                raise NotAnIResNet(str(node.error(f"opset {_OLDEST_OPSET} or newer is read")))
            if self._is_transparent(node):
                self.alias[node.outputs[0]] = self.root(node.inputs[0])
                continue
            self.unused.add(node.outputs[0])
            for name in {self.root(name) for name in node.inputs}:
                self.consumers[name].append(node)

    def _is_transparent(self, node) -> bool:
        if node.op_type in _RESHAPES:  # of a PRelu's slope, for one
            return self.root(node.inputs[0]) in self.module.params
        if node.op_type == "Cast":
            return node.attributes.get("to") in _FLOATS
        return node.op_type in ("Identity", "Dropout")

    def root(self, name: str) -> str:
        """The tensor that `name` is a copy of."""
        return self.alias.get(name, name)

    def run(self) -> Converted:
        x, normalisation = self._leading(self.root(self.module.inputs[0]))
        x = self._prelu(self._conv(x, "stem_conv", "stem_bn", 3, 1), "stem_prelu")
        blocks, tensors = [], {}
        while {"Conv", "Add"} & set(self._ops(x)):
            if "Conv" in self._ops(x):
                blocks.append(0)
            if not 1 <= len(blocks) <= len(STAGES):
                raise self._differs(x, f"begins stage {len(blocks)} of {len(STAGES)}")
            x = self._block(x, f"stage{len(blocks)}_block{blocks[-1]}")
            blocks[-1] += 1
            tensors[STAGES[len(blocks) - 1]] = x
        if len(blocks) != len(STAGES):
            raise self._differs(x, f"ends stage {len(blocks)} of {len(STAGES)}")
        x, positions = self._embedding(x)
        tensors[OUTCOME] = self._end(x)
        return self._finish(tuple(blocks), positions, normalisation, tensors)

    def _ops(self, tensor: str) -> dict[str, int]:
        return Counter(node.op_type for node in self.consumers[tensor])

    def _differs(self, tensor: str, reason: str) -> NotAnIResNet:
        file = self.module.nodes[0].file
        return NotAnIResNet(f"{file}: not an IResNet: tensor {tensor!r} {reason}")

    def _take(self, tensor: str, op_type: str, among: tuple[str, ...] = ()):
        """The node of `op_type` that alone, or beside operators `among`, reads `tensor`."""
        found = self._ops(tensor)
        if found != Counter((op_type, *among)):
            wanted = " and ".join((op_type, *among))
            read_by = ", ".join(sorted(found.elements())) or "nothing"
            raise self._differs(tensor, f"should be read by {wanted} but is by {read_by}")
        node = next(node for node in self.consumers[tensor] if node.op_type == op_type)
        unknown = set(node.attributes) - _ATTRIBUTES[op_type]
        if unknown:
            raise NotAnIResNet(str(node.error(f"attribute {min(unknown)!r} is not handled")))
        for name, value in node.attributes.items():
            if name in _PLAIN and value != _PLAIN[name]:
                raise NotAnIResNet(str(node.error(f"{name} = {value} is not handled")))
        self.unused.discard(node.outputs[0])
        return node

    def _array(self, node, position: int) -> np.ndarray:
        name = self.root(node.inputs[position])
        if name not in self.module.params:
            raise NotAnIResNet(str(node.error(f"input {position} is not a stored tensor")))
        return np.asarray(self.module.params[name], np.float32)

    def _leading(self, x: str) -> tuple[str, tuple[float, float] | None]:
        """Reads past `(x - mean) * scale`."""
        mean, scale, begin = 0.0, 1.0, x
        for op_type in ("Sub", "Mul", "Div"):
            if set(self._ops(x)) == {op_type}:
                node = self._take(x, op_type)
                value = self._array(node, 1)
                if value.size != 1:
                    raise NotAnIResNet(str(node.error("one value for all channels is read")))
                value = float(value.reshape(()))
                if op_type == "Sub":
                    mean = value
                else:
                    scale *= value if op_type == "Mul" else 1 / value
                x = self.root(node.outputs[0])
        return x, (None if x == begin else (mean, scale))

    def _conv(self, x: str, name: str, norm: str, size: int, stride: int, among=()) -> str:
        """Conv `name`, and BatchNorm `norm`, which carries the bias where it is folded."""
        node = self._take(x, "Conv", among)
        kernel, pad = self._array(node, 1), size // 2
        expected = {
            "kernel_shape": [size, size],
            "strides": [stride, stride],
            "pads": [pad] * 4,
        }
        given = {"strides": [1, 1], "pads": [0] * 4, "kernel_shape": list(kernel.shape[2:])}
        given |= {key: list(node.attributes[key]) for key in expected if key in node.attributes}
        if given != expected or kernel.shape[2:] != (size, size):
            raise NotAnIResNet(str(node.error(f"has {given}, an IResNet has {expected}")))
        self.params[name] = {"kernel": kernel.transpose(2, 3, 1, 0)}
        bias = self._array(node, 2) if len(node.inputs) > 2 else np.zeros(len(kernel), "f4")
        return self._norm_or_bias(self.root(node.outputs[0]), norm, bias)

    def _norm_or_bias(self, x: str, name: str, bias: np.ndarray) -> str:
        """The BatchNorm that reads `x`, with the `bias` before it; or that bias alone."""
        if set(self._ops(x)) == {"BatchNormalization"}:
            return self._norm(x, name, bias=bias)
        one = np.ones_like(bias)
        self._store_norm(name, one, bias, np.zeros_like(bias), one, epsilon=0.0)
        return x

    def _norm(self, x: str, name: str, among=(), bias: np.ndarray | float = 0.0) -> str:
        node = self._take(x, "BatchNormalization", among)
        scale, shift, mean, variance = (self._array(node, i) for i in range(1, 5))
        epsilon = node.attributes.get("epsilon", 1e-5)
        self._store_norm(name, scale, shift, mean - bias, variance, epsilon)
        return self.root(node.outputs[0])

    def _store_norm(self, name, scale, shift, mean, variance, epsilon) -> None:
        variance = variance.astype(np.float64) + (epsilon - IResNet.epsilon)
        self.params[name] = {"scale": scale, "bias": shift}
        self.statistics[name] = {"mean": mean, "var": variance.astype(np.float32)}

    def _prelu(self, x: str, name: str) -> str:
        node = self._take(x, "PRelu")
        self.params[name] = {"slope": self._array(node, 1).reshape(-1)}
        return self.root(node.outputs[0])

    def _block(self, x: str, name: str) -> str:
        first = "Conv" in self._ops(x)
        stride, beside = (2, "Conv") if first else (1, "Add")
        y = self._norm(x, f"{name}_bn1", among=(beside,))
        y = self._prelu(self._conv(y, f"{name}_conv1", f"{name}_bn2", 3, 1), f"{name}_prelu")
        y = self._conv(y, f"{name}_conv2", f"{name}_bn3", 3, stride)
        shortcut = x
        if first:
            names = f"{name}_shortcut_conv", f"{name}_shortcut_bn"
            shortcut = self._conv(x, *names, 1, 2, among=("BatchNormalization",))
        node = self._take(y, "Add")
        if {self.root(i) for i in node.inputs} != {y, shortcut}:
            raise NotAnIResNet(str(node.error("does not add a block to its own input")))
        return self.root(node.outputs[0])

    def _embedding(self, x: str) -> tuple[str, int]:
        """Reads BatchNorm, Flatten, Gemm, BatchNorm; also returns the number of pixels."""
        channels = len(self.params["stage4_block0_shortcut_bn"]["bias"])
        x = self._norm_or_bias(x, "final_bn", np.zeros(channels, np.float32))
        node = self._take(x, "Flatten")
        node = self._take(self.root(node.outputs[0]), "Gemm")
        kernel = self._array(node, 1)
        kernel = kernel.T if node.attributes.get("transB", 0) else kernel
        rows, size = kernel.shape
        by_channel = kernel.reshape(channels, -1, size)  # ONNX flattens CHW, we flatten HWC
        self.params["embedding"] = {
            "kernel": by_channel.transpose(1, 0, 2).reshape(rows, size),
            "bias": self._array(node, 2) if len(node.inputs) > 2 else np.zeros(size, "f4"),
        }
        x = self.root(node.outputs[0])
        return self._norm_or_bias(x, "embedding_bn", np.zeros(size, "f4")), rows // channels

    def _end(self, x: str) -> str:
        outputs = [self.root(name) for name in self.module.outputs]
        if outputs != [x] or self.consumers[x] or self.unused:
            rest = ", ".join(sorted(self.unused)[:3]) or "no node"
            raise self._differs(x, f"should be the only output; beside it: {rest}")
        return self.module.outputs[0]

    def _finish(self, blocks, positions, normalisation, tensors) -> Converted:
        names = [name for name, known in BLOCKS.items() if known == blocks]
        if not names:
            raise self._differs(tensors["conv1"], f"begins stages of {blocks} blocks, unknown")
        architecture = {
            "kind": "iresnet",
            "name": names[0],
            "width": self.params["stem_conv"]["kernel"].shape[-1] / 64,
            "embedding_size": len(self.params["embedding"]["bias"]),
            "input_size": self._input_size(positions),
        }
        variables = {"params": self.params, "batch_stats": self.statistics}
        variables = jax.tree.map(np.ascontiguousarray, variables)
        self._check_shapes(architecture, variables)
        return Converted(architecture, variables, normalisation, tensors)

    def _input_size(self, positions: int) -> int:
        """The side of the input, as declared, or 16 times that of the last stage."""
        side = math.isqrt(positions)
        declared = self.module.input_shape(self.module.inputs[0]) or (None, 3, None, None)
        sizes = {size for size in declared[2:] if size} or {16 * side}
        size = min(sizes)
        if len(sizes) > 1 or math.ceil(size / 16) ** 2 != positions:
            raise InputError(
                f"{self.module.nodes[0].file}: wrong input size {tuple(declared)}: the "
                f"embedding reads {positions} positions, a square image of side {16 * side}"
            )
        return size

    def _check_shapes(self, architecture: dict, variables: dict) -> None:
        def check(path, wanted, found):
            if wanted.shape != found.shape:
                where = f"{path[1].key} ({path[2].key})"
                raise self._differs(where, f"has shape {found.shape}, not {wanted.shape}")

        shapes = iresnet_model.shapes(architecture)
        jax.tree_util.tree_map_with_path(check, shapes, variables)
