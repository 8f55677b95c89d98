"""Matrix products."""

from typing import Any

import jax.numpy as jnp

from mint_jax.onnx2jax.registry import Call, operator


@operator("MatMul")
def mat_mul(call: Call, a: Any, b: Any) -> Any:
    return call.xp.matmul(a, b)


@operator("Gemm")
def gemm(
    call: Call,
    a: Any,
    b: Any,
    c: Any = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Any:
    """alpha * a b + beta * c, of matrices."""
    y = jnp.matmul(a.T if transA else a, b.T if transB else b)
    y = y if alpha == 1 else alpha * y
    if c is not None:
        y = y + (c if beta == 1 else beta * c)
    return y.astype(a.dtype)


@operator("Einsum")
def einsum(call: Call, *values: Any, equation: str) -> Any:
    return call.xp.einsum(equation.replace(" ", ""), *values)


@operator("Det")
def det(call: Call, x: Any) -> Any:
    return jnp.linalg.det(x)
