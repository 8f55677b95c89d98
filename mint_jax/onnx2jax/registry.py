"""The table of operators, and what an operator's function is told about its node.

An operator is one function. Its positional parameters are the node's inputs in ONNX order
(None where an optional one is absent), its keyword-only parameters are the attributes that
it handles with their ONNX defaults: the signature is the whitelist. It returns one array,
or a tuple of them.
"""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mint_jax.errors import InputError

OLDEST_OPSET, NEWEST_OPSET = 7, 28


@dataclasses.dataclass(frozen=True)
class Node:
    """One node of a graph, attributes decoded to Python and NumPy values."""

    file: str
    op_type: str
    name: str
    opset: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    def error(self, reason: str) -> InputError:
        """An error that names file, operator, node and opset."""
        name = self.name or (self.outputs[0] if self.outputs else "?")
        return InputError(
            f"{self.file}: {self.op_type} (node {name!r}, opset {self.opset}): {reason}"
        )


@dataclasses.dataclass(frozen=True)
class Call:
    """What an operator's function knows beside its inputs and attributes.

    Attributes:
        node: The node that is evaluated.
        xp: numpy where every input is concrete, so that shape computations stay concrete
            (and 64-bit) under `jit`; else jax.numpy.
        declared: The same inputs at the batch size that the file fixes, arrays where
            concrete and shapes else; None where the batch is what the file says.
    """

    node: Node
    xp: ModuleType
    declared: tuple[Any, ...] | None = None

    @property
    def opset(self) -> int:
        return self.node.opset

    @property
    def outputs(self) -> int:
        """How many outputs the node asks for."""
        return len(self.node.outputs)

    def error(self, reason: str) -> InputError:
        return self.node.error(reason)

    def dtype(self, dtype: Any) -> np.dtype:
        """`dtype`, 32-bit on the device unless JAX was told to allow 64."""
        if self.xp is np:
            return np.dtype(dtype)
        return np.dtype(jax.dtypes.canonicalize_dtype(dtype))


@dataclasses.dataclass(frozen=True)
class Operator:
    """A row of the table.

    Attributes:
        function: `function(call, *inputs, **attributes)`.
        static: Positions of the inputs that determine shapes and so must be concrete.
        attributes: Names of the attributes that are handled.
        most_inputs: How many inputs the function takes; None for any number.
    """

    function: Callable[..., Any]
    static: frozenset[int]
    attributes: frozenset[str]
    most_inputs: int | None


OPERATORS: dict[str, Operator] = {}


def operator(*names: str, static: Sequence[int] = ()) -> Callable[[Callable], Callable]:
    """Enters a function into the table under each of `names`."""

    def enter(function: Callable) -> Callable:
        parameters = list(inspect.signature(function).parameters.values())[1:]
        keywords = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
        variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        most = None if variadic else len(parameters) - len(keywords)
        for name in names:
            OPERATORS[name] = Operator(function, frozenset(static), frozenset(keywords), most)
        return function

    return enter


def is_concrete(value: Any) -> bool:
    """Whether a value is known before the graph runs (a NumPy array)."""
    return isinstance(value, (np.ndarray, np.generic))


def check(node: Node) -> None:
    """Refuses a node that the table does not cover.

    Raises:
        InputError: Unknown operator, unhandled attribute or too many inputs.
    """
    row = OPERATORS.get(node.op_type)
    if row is None:
        raise node.error("this operator is not supported")
    unknown = sorted(set(node.attributes) - row.attributes)
    if unknown:
        raise node.error(f"attribute {unknown[0]!r} is not handled")
    if row.most_inputs is not None and len(node.inputs) > row.most_inputs:
        raise node.error(f"takes at most {row.most_inputs} inputs, not {len(node.inputs)}")


def evaluate(
    node: Node, inputs: Sequence[Any], declared: Sequence[Any] | None = None
) -> tuple[Any, ...]:
    """Runs one node.

    Args:
        node: A node that passed `check`.
        inputs: One array an input, None where an optional one is absent.
        declared: See `Call.declared`.

    Returns:
        One array an output; NumPy arrays where every input was concrete and the operator
        belongs to shape arithmetic, JAX arrays else.

    Raises:
        InputError: A shape-determining input is not concrete, or the inputs do not fit.
    """
    row = OPERATORS[node.op_type]
    for position in row.static:
        value = inputs[position] if position < len(inputs) else None
        if value is not None and not is_concrete(value):
            raise node.error(
                f"input {position} ({node.inputs[position]!r}) determines a shape and must "
                "be concrete, not computed from the network's data"
            )
    concrete = all(is_concrete(value) for value in inputs if value is not None)
    call = Call(node, np if concrete else jnp, declared and tuple(declared))
    try:
        result = row.function(call, *inputs, **node.attributes)
    except InputError:
        raise
    except (TypeError, ValueError, IndexError, KeyError, ZeroDivisionError) as reason:
        first = (str(reason).strip().splitlines() or [type(reason).__name__])[0]
        shapes = [None if value is None else np.shape(value) for value in inputs]
        raise node.error(f"cannot run on inputs of shapes {shapes}: {first}") from reason
    results = result if isinstance(result, tuple) else (result,)
    if any(node.outputs[len(results) :]):
        raise node.error(f"output {len(results)} is not supported")
    return tuple(np.asarray(r) if isinstance(r, np.generic) else r for r in results)
