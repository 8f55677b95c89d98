"""Reading an ONNX file into plain Python: nodes, stored tensors, inputs and outputs."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import inliner, numpy_helper

import mint_jax.onnx2jax.operators  # noqa: F401  (fills the table)
from mint_jax.errors import InputError
from mint_jax.onnx2jax import registry
from mint_jax.onnx2jax.registry import OPERATORS, Node

# Operators that ONNX defines by others; their bodies are put in their place.
EXPANDED = frozenset({"Attention", "RotaryEmbedding", "SwiGLU"})
SHAPE_READERS = frozenset({"Shape", "Size"})


@dataclasses.dataclass(frozen=True)
class Graph:
    """A checked ONNX graph.

    Attributes:
        file: What errors call it.
        nodes: In evaluation order, Constant nodes taken out.
        params: Stored floating-point tensors, by name.
        constants: Other stored tensors, and the floating-point ones that shapes depend on.
        inputs: {name: (dtype, dims)}; a dim is an int or None, dims None where unknown.
        outputs: Names in graph order.
        static: Names of the tensors whose values some shape is computed from.
    """

    file: str
    nodes: tuple[Node, ...]
    params: dict[str, np.ndarray]
    constants: dict[str, np.ndarray]
    inputs: dict[str, tuple[np.dtype, tuple[int | None, ...] | None]]
    outputs: tuple[str, ...]
    static: frozenset[str]


def read(source: str | os.PathLike | onnx.ModelProto) -> Graph:
    """Reads and checks a model.

    Args:
        source: A path to an .onnx file, or a model in memory.

    Returns:
        The graph, functions inlined and constants folded into it.

    Raises:
        InputError: The file is missing, truncated or not ONNX, or holds an operator, an
            attribute or an opset that is not handled.
    """
    if isinstance(source, onnx.ModelProto):
        file, model = source.graph.name or "model", source
    else:
        file, model = Path(source).name, _open(Path(source))
    if not model.graph.node and not model.graph.output:
        raise InputError(f"{file}: holds no graph; is the file truncated or not ONNX?")
    opset = _opset(model, file)
    model = _inlined(model, file)
    stored = {t.name: _array(t, file) for t in model.graph.initializer}
    if model.graph.sparse_initializer:
        raise InputError(f"{file}: sparse initialisers are not supported")
    nodes = []
    for proto in model.graph.node:
        node = _node(proto, file, opset)
        registry.check(node)
        if node.op_type == "Constant":
            stored[node.outputs[0]] = registry.evaluate(node, ())[0]
        else:
            nodes.append(node)
    inputs = {i.name: _declared(i, file) for i in model.graph.input if i.name not in stored}
    outputs = tuple(o.name for o in model.graph.output)
    _check_connected(file, nodes, {*stored, *inputs}, outputs)
    static = _shape_determining(nodes)
    params, constants = _split(stored, static)
    return Graph(file, tuple(nodes), params, constants, inputs, outputs, static)


def _open(path: Path) -> onnx.ModelProto:
    try:
        return onnx.load(path)
    except OSError as reason:
        raise InputError(f"{path.name}: cannot be read: {reason}") from reason
    except (DecodeError, ValueError, onnx.checker.ValidationError) as reason:
        first = str(reason).splitlines()[0]
        raise InputError(f"{path.name}: not an ONNX file, or truncated: {first}") from reason


def _inlined(model: onnx.ModelProto, file: str) -> onnx.ModelProto:
    """The model without functions of its own and without `EXPANDED` operators."""
    expanded = EXPANDED.intersection(node.op_type for node in model.graph.node)
    try:
        if model.functions:
            model = inliner.inline_local_functions(model)
        if expanded:
            chosen = [("", name) for name in sorted(expanded)]
            model = inliner.inline_selected_functions(model, chosen, inline_schema_functions=True)
    except RuntimeError as reason:
        first = str(reason).splitlines()[0]
        raise InputError(f"{file}: functions cannot be inlined: {first}") from reason
    return model


def _opset(model: onnx.ModelProto, file: str) -> int:
    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    oldest, newest = registry.OLDEST_OPSET, registry.NEWEST_OPSET
    if not versions or not oldest <= versions[0] <= newest:
        found = versions[0] if versions else "none"
        raise InputError(f"{file}: opset {oldest} to {newest} is supported, found {found}")
    return versions[0]


def _array(tensor: onnx.TensorProto, file: str) -> np.ndarray:
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as reason:
        raise InputError(f"{file}: tensor {tensor.name!r}: {reason}") from reason


def _node(proto: onnx.NodeProto, file: str, opset: int) -> Node:
    domain = "" if proto.domain in ("", "ai.onnx") else f"{proto.domain}."
    attributes = {}
    node = Node(
        file,
        domain + proto.op_type,
        proto.name,
        opset,
        tuple(proto.input),
        tuple(proto.output),
        attributes,
    )
    for attribute in proto.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        elif isinstance(value, onnx.TensorProto):
            value = _array(value, file)
        attributes[attribute.name] = value
    return node


def _declared(value: onnx.ValueInfoProto, file: str) -> tuple[np.dtype, Any]:
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not tensor.elem_type:
        raise InputError(f"{file}: input {value.name!r} is not a tensor")
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    if not tensor.HasField("shape"):
        return dtype, None
    dims = tensor.shape.dim
    return dtype, tuple(d.dim_value if d.dim_value > 0 else None for d in dims)


def _check_connected(
    file: str, nodes: list[Node], known: set[str], outputs: tuple[str, ...]
) -> None:
    known = {*known, ""}
    for node in nodes:
        missing = [name for name in node.inputs if name not in known]
        if missing:
            raise node.error(f"input {missing[0]!r} is not defined before it")
        known.update(node.outputs)
    for name in outputs:
        if name not in known:
            raise InputError(f"{file}: output {name!r} is computed by no node")


def _split(stored: dict[str, np.ndarray], static: frozenset[str]) -> tuple[dict, dict]:
    """Floating-point tensors become parameters unless a shape depends on their values."""
    params, constants = {}, {}
    for name, array in stored.items():
        is_param = jnp.issubdtype(array.dtype, jnp.floating) and name not in static
        (params if is_param else constants)[name] = array
    return params, constants


def _shape_determining(nodes: list[Node]) -> frozenset[str]:
    wanted: set[str] = set()
    for node in reversed(nodes):
        if wanted.intersection(node.outputs) and node.op_type not in SHAPE_READERS:
            wanted.update(node.inputs)
        static = OPERATORS[node.op_type].static
        wanted.update(name for i, name in enumerate(node.inputs) if i in static)
    return frozenset(wanted - {""})
