"""Arithmetic, comparison, logic and casts, one element at a time with broadcasting.

These run in NumPy where their inputs are concrete: shapes are computed with them.
"""

import functools
from typing import Any

import jax
import numpy as np

from mint_jax.onnx2jax.operators.types import is_integer, numpy_type
from mint_jax.onnx2jax.registry import Call, operator

SAME_AS_NUMPY = {
    "Abs": "abs",
    "Acos": "arccos",
    "Acosh": "arccosh",
    "Add": "add",
    "And": "logical_and",
    "Asin": "arcsin",
    "Asinh": "arcsinh",
    "Atan": "arctan",
    "Atanh": "arctanh",
    "BitwiseAnd": "bitwise_and",
    "BitwiseNot": "invert",
    "BitwiseOr": "bitwise_or",
    "BitwiseXor": "bitwise_xor",
    "Ceil": "ceil",
    "Cos": "cos",
    "Cosh": "cosh",
    "Equal": "equal",
    "Exp": "exp",
    "Floor": "floor",
    "Greater": "greater",
    "GreaterOrEqual": "greater_equal",
    "IsNaN": "isnan",
    "Less": "less",
    "LessOrEqual": "less_equal",
    "Log": "log",
    "Mul": "multiply",
    "Neg": "negative",
    "Not": "logical_not",
    "Or": "logical_or",
    "Reciprocal": "reciprocal",
    "Round": "rint",
    "Sign": "sign",
    "Sin": "sin",
    "Sinh": "sinh",
    "Sqrt": "sqrt",
    "Sub": "subtract",
    "Tan": "tan",
    "Xor": "logical_xor",
}


def _enter(name: str, numpy_name: str) -> None:
    if getattr(np, numpy_name).nin == 1:
        operator(name)(lambda call, x: getattr(call.xp, numpy_name)(x))
    else:
        operator(name)(lambda call, a, b: getattr(call.xp, numpy_name)(a, b))


for _name, _numpy_name in SAME_AS_NUMPY.items():
    _enter(_name, _numpy_name)


@operator("Where")
def where(call: Call, condition: Any, a: Any, b: Any) -> Any:
    return call.xp.where(condition, a, b)


@operator("Erf")
def erf(call: Call, x: Any) -> Any:
    return jax.lax.erf(x)


@operator("Div")
def div(call: Call, a: Any, b: Any) -> Any:
    """Integers are divided towards zero."""
    if not is_integer(a):
        return call.xp.divide(a, b)
    floor, remainder = a // b, a % b
    return floor + ((remainder != 0) & ((a < 0) != (b < 0))).astype(floor.dtype)


@operator("Mod")
def mod(call: Call, a: Any, b: Any, *, fmod: int = 0) -> Any:
    return call.xp.fmod(a, b) if fmod else call.xp.mod(a, b)


@operator("Pow")
def power(call: Call, base: Any, exponent: Any) -> Any:
    """The result has the base's type."""
    if is_integer(base) and not is_integer(exponent):
        return call.xp.power(base.astype(exponent.dtype), exponent).astype(base.dtype)
    return call.xp.power(base, exponent).astype(base.dtype)


@operator("Max")
def maximum(call: Call, *values: Any) -> Any:
    return functools.reduce(call.xp.maximum, values)


@operator("Min")
def minimum(call: Call, *values: Any) -> Any:
    return functools.reduce(call.xp.minimum, values)


@operator("Sum")
def add_all(call: Call, *values: Any) -> Any:
    return functools.reduce(call.xp.add, values)


@operator("Mean")
def mean_of_all(call: Call, *values: Any) -> Any:
    return functools.reduce(call.xp.add, values) / len(values)


@operator("Clip")
def clip(
    call: Call,
    x: Any,
    low: Any = None,
    high: Any = None,
    *,
    min: float | None = None,
    max: float | None = None,
) -> Any:
    """Bounds are attributes before opset 11, inputs since; crossed ones give the upper."""
    low, high = min if low is None else low, max if high is None else high
    if low is not None:
        x = call.xp.maximum(x, low)
    return x if high is None else call.xp.minimum(x, high)


@operator("IsInf")
def is_inf(call: Call, x: Any, *, detect_negative: int = 1, detect_positive: int = 1) -> Any:
    found = call.xp.isinf(x)
    if not detect_negative:
        found = found & (x > 0)
    return found if detect_positive else found & (x < 0)


@operator("BitShift")
def bit_shift(call: Call, x: Any, bits: Any, *, direction: str) -> Any:
    """A shift by the width or more gives 0 (C leaves it open)."""
    shift = call.xp.left_shift if direction == "LEFT" else call.xp.right_shift
    return shift(x, bits)


@operator("Cast")
def cast(call: Call, x: Any, *, to: int, saturate: int = 1, round_mode: str = "up") -> Any:
    """`saturate` and `round_mode` speak of 8-bit floats only, which are not supported."""
    return x.astype(numpy_type(call, to))


@operator("CastLike")
def cast_like(call: Call, x: Any, like: Any, *, saturate: int = 1, round_mode: str = "up") -> Any:
    return x.astype(like.dtype)
