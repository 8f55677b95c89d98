"""An ONNX graph as a pure function of parameters and inputs."""

import difflib
import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx

from mint_jax.errors import InputError
from mint_jax.onnx2jax import registry
from mint_jax.onnx2jax.graph import Graph, read
from mint_jax.onnx2jax.registry import Node


def load(source: str | os.PathLike | onnx.ModelProto) -> "OnnxModule":
    """Reads an ONNX network (opset 7 to 28).

    Args:
        source: A path to an .onnx file, or a model in memory.

    Returns:
        The network.

    Raises:
        InputError: The file is missing, truncated or not ONNX, or holds an operator, an
            attribute or an opset that is not handled; the message names it.
    """
    return OnnxModule(read(source))


class OnnxModule:
    """A network whose every tensor is addressable by name, in ONNX layout (NCHW).

    Floating-point tensors that the file stores are parameters. Integer and boolean ones,
    and what is computed from them and from shapes alone, stay concrete NumPy arrays, 64-bit
    as ONNX says, also under `jit`. On the device 64-bit types become 32-bit unless
    `jax_enable_x64` is set. The precision of matrix products is JAX's default for the
    device (`jax.default_matmul_precision`).

    Attributes:
        params: {name: array} of the stored floating-point tensors.
        inputs: Names of the graph's inputs, in graph order.
        outputs: Names of the graph's outputs, in graph order.
        static_inputs: Names of the inputs that must be NumPy arrays, since shapes are
            computed from their values.
        nodes: The graph's nodes in evaluation order.
        tensors: Names of all tensors that nodes compute, in evaluation order.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.params: dict[str, np.ndarray] = dict(graph.params)
        self.inputs: tuple[str, ...] = tuple(graph.inputs)
        self.outputs: tuple[str, ...] = graph.outputs
        self.static_inputs: tuple[str, ...] = tuple(
            name for name in graph.inputs if name in graph.static
        )
        self.nodes: tuple[Node, ...] = graph.nodes
        self.tensors: tuple[str, ...] = tuple(
            name for node in graph.nodes for name in node.outputs if name
        )

    def input_shape(self, name: str) -> tuple[int | None, ...] | None:
        """The declared shape of an input, None for a free dimension or an unknown rank."""
        return self._graph.inputs[name][1]

    def apply(
        self,
        params: Mapping[str, Any],
        inputs: Mapping[str, Any],
        outputs: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Computes tensors; pure and jittable, and only what they need is evaluated.

        Args:
            params: Arrays like `self.params`.
            inputs: {name: array}. The first dimension may be any batch size, also where the
                file fixes 1.
            outputs: Names of tensors; None for the graph's outputs.

        Returns:
            {name: array} in the order asked for.

        Raises:
            InputError: An unknown or missing tensor, an input of the wrong shape, a shape
                that depends on data, or a node that does not fit its inputs.
        """
        wanted = tuple(self.outputs if outputs is None else outputs)
        nodes = self._needed(wanted)
        values = self._bind(params, inputs)
        used = {*wanted}.union(*(node.inputs for node in nodes))
        missing = [name for name in self.inputs if name in used and name not in values]
        if missing:
            raise InputError(f"{self._graph.file}: input {missing[0]!r} is not given")
        declared = self._at_declared_batch(nodes, values)
        for node in nodes:
            _run(node, values, declared)
        return {name: jnp.asarray(values[name]) for name in wanted}

    def _needed(self, wanted: tuple[str, ...]) -> tuple[Node, ...]:
        """The nodes that `wanted` depends on, in evaluation order."""
        known = {*self.tensors, *self.inputs, *self.params, *self._graph.constants}
        for name in wanted:
            if name not in known:
                near = difflib.get_close_matches(str(name), known, 3) or self.outputs
                raise InputError(
                    f"{self._graph.file}: no tensor {name!r}; near it: {', '.join(near)}"
                )
        return _reachable(self.nodes, wanted)

    def _bind(self, params: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
        """All values that are known before the first node."""
        absent = [name for name in self.params if name not in params]
        if absent:
            raise InputError(f"{self._graph.file}: parameter {absent[0]!r} is not given")
        values: dict[str, Any] = {"": None, **self._graph.constants}
        values.update({name: jnp.asarray(params[name]) for name in self.params})
        for name, value in inputs.items():
            values[name] = self._checked(name, value)
        return values

    def _checked(self, name: str, value: Any) -> Any:
        """An input in the declared kind of number and with the declared dimensions."""
        file = self._graph.file
        if name not in self._graph.inputs:
            known = ", ".join(self.inputs)
            raise InputError(f"{file}: no input {name!r}; the inputs are {known}")
        dtype, dims = self._graph.inputs[name]
        floating = jnp.issubdtype(dtype, jnp.floating)
        value = value if name in self.static_inputs else jnp.asarray(value)
        if floating != jnp.issubdtype(value.dtype, jnp.floating):
            raise InputError(f"{file}: input {name!r} must be {dtype}, not {value.dtype}")
        fits = dims is None or (
            len(dims) == value.ndim
            and all(d in (None, s) for d, s in zip(dims[1:], value.shape[1:]))
        )
        if not fits:
            shown = ", ".join("any" if d is None else str(d) for d in dims)
            raise InputError(
                f"{file}: input {name!r} must have shape ({shown}), the first of any size, "
                f"not {value.shape}"
            )
        return value

    def _at_declared_batch(
        self, nodes: tuple[Node, ...], values: dict[str, Any]
    ) -> dict[str, Any] | None:
        """Every tensor's shape (or concrete value) at the batch size that the file fixes.

        Returns:
            None where the given batch is the file's, or the file leaves it free.
        """
        before = dict(values)
        for name, (_, dims) in self._graph.inputs.items():
            value = values.get(name)
            if dims and dims[0] and value is not None and value.shape[0] != dims[0]:
                shape = (dims[0], *value.shape[1:])
                before[name] = jax.ShapeDtypeStruct(shape, value.dtype)
        if all(before[name] is values[name] for name in values):
            return None
        known = {n: v for n, v in before.items() if v is None or registry.is_concrete(v)}
        shaped = {
            n: jax.ShapeDtypeStruct(v.shape, v.dtype) for n, v in before.items() if n not in known
        }
        jax.eval_shape(functools.partial(_record, nodes, known), shaped)
        return known


def _record(nodes: tuple[Node, ...], known: dict[str, Any], shaped: dict[str, Any]) -> None:
    """Fills `known` with what every tensor is, abstract arrays as shapes."""
    values = {**known, **shaped}
    for node in nodes:
        _run(node, values, None)
    for name, value in values.items():
        if value is not None and not registry.is_concrete(value):
            value = jax.ShapeDtypeStruct(value.shape, value.dtype)
        known[name] = value


def _run(node: Node, values: dict[str, Any], declared: dict[str, Any] | None) -> None:
    inputs = [values[name] for name in node.inputs]
    before = None if declared is None else [declared[name] for name in node.inputs]
    results = registry.evaluate(node, inputs, before)
    for name, result in zip(node.outputs, results):
        values[name] = result


def _reachable(nodes: tuple[Node, ...], wanted: tuple[str, ...]) -> tuple[Node, ...]:
    """Backward reachability from `wanted`."""
    needed, kept = set(wanted), []
    for node in reversed(nodes):
        if needed.intersection(node.outputs):
            needed.update(node.inputs)
            kept.append(node)
    return tuple(reversed(kept))
