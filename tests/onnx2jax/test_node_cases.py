"""onnx's own backend node tests, for every operator that is claimed."""

import collections
import functools
import re
import warnings

import jax
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

from mint_jax.errors import InputError
from mint_jax.onnx2jax import OPERATORS, load
from mint_jax.onnx2jax.graph import EXPANDED
from mint_jax.onnx2jax.operators.types import STANDARD

CLAIMED = sorted({*OPERATORS, *EXPANDED})
QUICK = 2  # cases an operator in the default run

# Name of the case (a pattern) -> why it is not run; each of them must be refused.
SKIPPED = {
    r"test_training_dropout": "training mode",
    r"test_batchnorm_\w+_training_mode": "training mode",
    r"test_maxpool_with_argmax": "indices of a pooling's maxima",
    r"test_identity_(sequence|opt)": "sequences and optional values",
    r"test_attention_4d_diff_heads_mask4d_padded_kv$"
    r"|test_attention_4d_(causal_)?padded_kv_bf16$"
    r"|test_attention_4d_gqa_causal_nonpad_decode(_fp16)?$"
    r"|test_attention_4d_causal_nonpad_\w*(prefill|empty|composition)$"
    r"|test_attention_4d_causal_with_past_and_present$"
    r"|test_attention_local_window_(with_past|ext_cache_\w*mask)$": (
        "a key-value cache behind an omitted mask: onnx's inliner has no type for it"
    ),
}
UNOPTIMISED = {"xla_backend_optimization_level": 0}  # compiling outlasts running by far
OTHER_TYPES = "element types beside NumPy's standard ones and bfloat16"


@functools.cache
def cases():
    """{operator: its cases of one node}, and the cases of several nodes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the suite divides by zero while it is built
        loaded = load_model_tests(kind="node")
    single, several = collections.defaultdict(list), []
    for case in loaded:
        nodes = case.model.graph.node
        if len(nodes) == 1:
            single[nodes[0].op_type].append(case)
        elif {node.op_type for node in nodes} <= {*CLAIMED, "Constant"}:
            several.append(case)
    return single, several


def reason_to_skip(case):
    """Why a case is left out, None where it is run."""
    graph = case.model.graph
    types = {v.type.tensor_type.elem_type for v in (*graph.input, *graph.output)}
    types |= {a.i for n in graph.node for a in n.attribute if a.name in ("to", "output_dtype")}
    named = [why for pattern, why in SKIPPED.items() if re.match(pattern, case.name)]
    if named:
        return named[0]
    return None if types <= STANDARD | {0} else OTHER_TYPES


def array(value):
    return (
        numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)
    )


def at_least_opset_7(model):
    """An operator that did not change between an older opset and 7 may be read as 7."""
    opset, name = model.opset_import[0], model.graph.node[0].op_type
    if opset.version < 7:
        then = onnx.defs.get_schema(name, opset.version).since_version
        assert onnx.defs.get_schema(name, 7).since_version == then
        opset.version = 7
    return model


def run(case):
    """Compares a case with its recorded result, under jit."""
    module = load(at_least_opset_7(case.model))
    for inputs, expected in case.data_sets:
        inputs, expected = [list(map(array, values)) for values in (inputs, expected)]
        named = dict(zip([i.name for i in case.model.graph.input], inputs))
        static = {k: v for k, v in named.items() if k in module.static_inputs}
        traced = {k: v for k, v in named.items() if k not in static}
        wide = any(v.dtype.itemsize == 8 for v in (*inputs, *expected))

        def apply(traced, static=static):
            return module.apply(module.params, {**traced, **static})

        with jax.enable_x64(wide):
            result = jax.jit(apply, compiler_options=UNOPTIMISED)(traced)
        for name, want in zip(module.outputs, expected):
            compare(np.asarray(result[name]), want, case)


def compare(got, want, case):
    assert got.dtype == want.dtype and got.shape == want.shape
    if not jax.numpy.issubdtype(want.dtype, np.floating):
        np.testing.assert_array_equal(got, want)
        return
    # Two units in the last place of the narrow types.
    rtol = {"bfloat16": 2e-2, "float16": 2e-3}.get(want.dtype.name, case.rtol)
    got, want = got.astype(np.float64), want.astype(np.float64)
    np.testing.assert_allclose(got, want, rtol=rtol, atol=max(case.atol, 1e-6))


@pytest.mark.parametrize("name", CLAIMED)
def test_operator(name, full):
    runnable = [case for case in cases()[0][name] if reason_to_skip(case) is None]
    assert runnable, f"{name} is claimed but no node test of it is run"
    for case in runnable if full else runnable[:QUICK]:
        try:
            run(case)
        except Exception as error:
            raise AssertionError(f"{case.name}: {error}") from error


@pytest.mark.full
def test_compositions():
    """Operators that onnx expands into others: the cases of several nodes."""
    runnable = [case for case in cases()[1] if reason_to_skip(case) is None]
    assert len(runnable) > 300
    for case in runnable:
        try:
            run(case)
        except Exception as error:
            raise AssertionError(f"{case.name}: {error}") from error


@pytest.mark.parametrize("pattern", SKIPPED)
def test_what_is_skipped_is_refused(pattern):
    single, _ = cases()
    matching = [c for name in CLAIMED for c in single[name] if re.match(pattern, c.name)]
    assert matching
    for case in matching:
        with pytest.raises(InputError):
            run(case)
