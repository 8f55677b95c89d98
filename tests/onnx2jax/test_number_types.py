"""Every operator in float16, bfloat16 and float64, against onnx's reference evaluator.

The evaluator runs the node tests' float32 cases on inputs rounded to the narrow type.
"""

import copy
import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx.backend.test.loader import load_model_tests
from onnx.reference import ReferenceEvaluator

from mint_jax.onnx2jax import OPERATORS, load

TYPES = {
    "float16": (TensorProto.FLOAT16, jnp.float16, 5e-3),
    "bfloat16": (TensorProto.BFLOAT16, jnp.bfloat16, 4e-2),
    "float64": (TensorProto.DOUBLE, np.float64, 1e-6),
}
# An attribute asks for another type, the result is no smooth function of the input, or the
# evaluator lacks the operator (Scatter).
LEFT_OUT = {
    "Cast",
    "CastLike",
    "EyeLike",
    "ConstantOfShape",
    "ArgMax",
    "ArgMin",
    "TopK",
    "Hardmax",
    "Mod",
}
LEFT_OUT |= {"Ceil", "Floor", "Round", "Constant", "OneHot", "Scatter"}
LEFT_OUT |= {"QuantizeLinear", "DynamicQuantizeLinear", "Resize", "Upsample"}


@functools.cache
def float_cases():
    """{operator: (model, inputs)} of its first case in float32 alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = load_model_tests(kind="node")
    found = {}
    for case in loaded:
        graph = case.model.graph
        name, opset = graph.node[0].op_type, case.model.opset_import[0].version
        if len(graph.node) > 1 or name in found or opset < 7:
            continue
        types = [v.type.tensor_type.elem_type for v in graph.output]
        if set(types) == {TensorProto.FLOAT} and case.data_sets:
            found[name] = (case.model, case.data_sets[0][0])
    return found


def allows(model, kind):
    """Whether the operator's schema has the type wherever the case has float32."""
    node, graph = model.graph.node[0], model.graph
    schema = onnx.defs.get_schema(node.op_type, model.opset_import[0].version)
    allowed = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
    types = {v.name: v.type.tensor_type.elem_type for v in graph.input}
    formal = [*schema.inputs[: len(node.input)], schema.outputs[0]]
    actual = [types.get(name) for name in node.input] + [TensorProto.FLOAT]
    return all(
        f"tensor({kind})" in allowed.get(f.type_str, ())
        for f, t in zip(formal, actual)
        if t == TensorProto.FLOAT
    )


@pytest.mark.full
@pytest.mark.parametrize("kind", TYPES)
def test_types_are_kept(kind):
    element, dtype, tolerance = TYPES[kind]
    schema_name = {"float64": "double"}.get(kind, kind)
    tried, wrong = [], []
    for name, (model, inputs) in float_cases().items():
        if name in LEFT_OUT or name not in OPERATORS or not allows(model, schema_name):
            continue
        tried.append(name)
        try:
            check(model, inputs, element, dtype, tolerance)
        except Exception as error:
            wrong.append(f"{name}: {error}")
    assert not wrong, "\n".join(wrong)
    assert len(tried) > 50


def check(model, inputs, element, dtype, tolerance):
    values = [np.asarray(v) for v in inputs]
    floating = [v.dtype == np.float32 for v in values]
    narrow = [v.astype(dtype) if f else v for v, f in zip(values, floating)]
    rounded = [v.astype(np.float32) if f else v for v, f in zip(narrow, floating)]
    names = [i.name for i in model.graph.input]
    want = ReferenceEvaluator(model).run(None, dict(zip(names, rounded)))
    changed = copy.deepcopy(model)
    for value in (*changed.graph.input, *changed.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = element
    with jax.enable_x64(element == TensorProto.DOUBLE):
        module = load(changed)
        got = module.apply({}, dict(zip(names, narrow)))
    first = np.asarray(got[module.outputs[0]])
    assert first.dtype == np.dtype(dtype)
    scale = max(np.abs(want[0][np.isfinite(want[0])]).max(initial=0), 1e-6)
    first = first.astype(np.float64)
    np.testing.assert_allclose(first, want[0], rtol=0, atol=tolerance * scale)
