"""Activation functions and the normalised exponentials."""

from typing import Any

import jax
import jax.numpy as jnp

from mint_jax.onnx2jax.registry import Call, operator


@operator("Relu")
def relu(call: Call, x: Any) -> Any:
    return call.xp.maximum(x, 0)


@operator("LeakyRelu")
def leaky_relu(call: Call, x: Any, *, alpha: float = 0.01) -> Any:
    return jnp.where(x < 0, alpha * x, x)


@operator("PRelu")
def prelu(call: Call, x: Any, slope: Any) -> Any:
    return jnp.where(x < 0, slope * x, x)


@operator("ThresholdedRelu")
def thresholded_relu(call: Call, x: Any, *, alpha: float = 1.0) -> Any:
    return jnp.where(x > alpha, x, 0)


@operator("Shrink")
def shrink(call: Call, x: Any, *, bias: float = 0.0, lambd: float = 0.5) -> Any:
    shifted = jnp.where(x < -lambd, x + bias, jnp.where(x > lambd, x - bias, 0))
    return shifted.astype(x.dtype)


@operator("Elu")
def elu(call: Call, x: Any, *, alpha: float = 1.0) -> Any:
    return jnp.where(x > 0, x, alpha * jnp.expm1(jnp.minimum(x, 0)))


@operator("Celu")
def celu(call: Call, x: Any, *, alpha: float = 1.0) -> Any:
    return jnp.maximum(x, 0) + jnp.minimum(0, alpha * jnp.expm1(x / alpha))


@operator("Selu")
def selu(
    call: Call,
    x: Any,
    *,
    alpha: float = 1.67326319217681884765625,
    gamma: float = 1.05070102214813232421875,
) -> Any:
    return gamma * jnp.where(x > 0, x, alpha * jnp.expm1(jnp.minimum(x, 0)))


@operator("Sigmoid")
def sigmoid(call: Call, x: Any) -> Any:
    return jax.nn.sigmoid(x)


@operator("Tanh")
def tanh(call: Call, x: Any) -> Any:
    return jnp.tanh(x)


@operator("HardSigmoid")
def hard_sigmoid(call: Call, x: Any, *, alpha: float = 0.2, beta: float = 0.5) -> Any:
    return jnp.clip(alpha * x + beta, 0, 1)


@operator("HardSwish")
def hard_swish(call: Call, x: Any) -> Any:
    return x * jnp.clip(x / 6 + 0.5, 0, 1)


@operator("Swish")
def swish(call: Call, x: Any, *, alpha: float = 1.0) -> Any:
    return x * jax.nn.sigmoid(alpha * x)


@operator("Mish")
def mish(call: Call, x: Any) -> Any:
    return x * jnp.tanh(jax.nn.softplus(x))


@operator("Softplus")
def softplus(call: Call, x: Any) -> Any:
    return jax.nn.softplus(x)


@operator("Softsign")
def softsign(call: Call, x: Any) -> Any:
    return x / (1 + jnp.abs(x))


@operator("Gelu")
def gelu(call: Call, x: Any, *, approximate: str = "none") -> Any:
    return jax.nn.gelu(x, approximate=approximate == "tanh")


def _along_axis(call: Call, x: Any, axis: int | None, function: Any) -> Any:
    """Before opset 13 the axes from `axis` (default 1) on are taken together."""
    if call.opset >= 13:
        return function(x, -1 if axis is None else axis)
    axis = 1 if axis is None else axis % x.ndim
    flat = x.reshape(*x.shape[:axis], -1)
    return function(flat, -1).reshape(x.shape)


@operator("Softmax")
def softmax(call: Call, x: Any, *, axis: int | None = None) -> Any:
    return _along_axis(call, x, axis, jax.nn.softmax)


@operator("LogSoftmax")
def log_softmax(call: Call, x: Any, *, axis: int | None = None) -> Any:
    return _along_axis(call, x, axis, jax.nn.log_softmax)


@operator("Hardmax")
def hardmax(call: Call, x: Any, *, axis: int | None = None) -> Any:
    def first_maximum(x: Any, axis: int) -> Any:
        return jax.nn.one_hot(jnp.argmax(x, axis), x.shape[axis], axis=axis, dtype=x.dtype)

    return _along_axis(call, x, axis, first_maximum)
