"""The random-network control of an ONNX network: its stored weights drawn anew."""

from pathlib import Path
from typing import Any

import numpy as np

from mint_jax.errors import InputError
from mint_jax.onnx2jax import OnnxModule

_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_NORMS = frozenset({"LayerNormalization", "InstanceNormalization", "GroupNormalization"})
_CONSTANTS = {
    "PRelu": {1: 0.25},
    "BatchNormalization": {1: 1.0, 2: 0.0, 3: 0.0, 4: 1.0},
    **dict.fromkeys(_NORMS, {1: 1.0, 2: 0.0}),
    **dict.fromkeys(_WEIGHTED - {"MatMul"}, {2: 0.0}),
}
_QUANTISED = frozenset({"DequantizeLinear", "QLinearConv", "ConvInteger", "MatMulInteger"})


def redraw(path: Path, module: OnnxModule, seed: int) -> dict[str, Any]:
    """Parameters of an untrained network of the same graph.

    Weights of convolutions and matrix products become He-normal, biases zero,
    normalisations start at mean 0 and variance 1, slopes of PRelu at 0.25. Every other
    stored matrix (positional embeddings, say) is drawn with its own mean and deviation, so
    that nothing learned is left in it; single numbers and vectors outside these roles (a
    leading Sub and Mul) stay.

    Args:
      path: of the file, for errors.
      module: the network.
      seed: of the draw.

    Raises:
      InputError: the network is quantised, its weights are not floating-point parameters.
    """
    quantised = [node for node in module.nodes if node.op_type in _QUANTISED]
    if quantised:
        raise InputError(
            f"{path}: the weights are quantised ({quantised[0].op_type}); a random "
            "network of the same shape cannot be drawn from it"
        )
    generator = np.random.default_rng(seed)
    constants, fans = _roles(module)
    drawn = {}
    for name, value in module.params.items():
        value = np.asarray(value)
        if name in constants:
            array = np.full(value.shape, constants[name])
        elif name in fans:
            array = generator.standard_normal(value.shape) * (2 / fans[name]) ** 0.5
        elif sum(size > 1 for size in value.shape) > 1:
            array = generator.standard_normal(value.shape) * value.std() + value.mean()
        else:
            array = value
        drawn[name] = array.astype(value.dtype)
    return drawn


def _roles(module: OnnxModule) -> tuple[dict[str, float], dict[str, int]]:
    """{parameter: its initial constant} and {weight: numbers that one output sums}."""
    constants, fans = {}, {}
    for node in module.nodes:
        for position, constant in _CONSTANTS.get(node.op_type, {}).items():
            if position < len(node.inputs):
                constants[node.inputs[position]] = constant
        weight = node.inputs[1] if node.op_type in _WEIGHTED else None
        if weight in module.params:
            fans[weight] = _fan_in(node, np.shape(module.params[weight]))
    return constants, fans


def _fan_in(node, shape: tuple[int, ...]) -> int:
    if node.op_type == "Conv":
        return int(np.prod(shape[1:]))
    if node.op_type == "ConvTranspose":
        return int(shape[0] * np.prod(shape[2:]))
    if node.op_type == "Gemm" and node.attributes.get("transB", 0):
        return shape[1]
    return shape[-2] if len(shape) > 1 else shape[0]
