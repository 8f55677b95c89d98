"""ONNX element types as NumPy ones."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from mint_jax.onnx2jax.registry import Call

STANDARD = frozenset(
    getattr(TensorProto, name)
    for name in (
        "BOOL INT8 INT16 INT32 INT64 UINT8 UINT16 UINT32 UINT64 FLOAT16 BFLOAT16 FLOAT DOUBLE"
    ).split()
)


def numpy_type(call: Call, element_type: int) -> np.dtype:
    """NumPy's standard types and bfloat16.

    Raises:
        InputError: Another type (8-bit floats, 4-bit integers, strings).
    """
    if element_type not in STANDARD:
        name = onnx.TensorProto.DataType.Name(element_type)
        raise call.error(f"element type {name} is not supported")
    return call.dtype(helper.tensor_dtype_to_np_dtype(element_type))


def is_integer(value: Any) -> bool:
    """Whether an array holds whole numbers (bool is none)."""
    return np.issubdtype(value.dtype, np.integer)
