"""onnxruntime as the oracle of whole networks."""

import jax
import numpy as np
import onnx
import onnxruntime
import pytest

from mint_jax import onnx2jax

UNOPTIMISED = {"xla_backend_optimization_level": 0}  # compiling outlasts running by far


def reference(model, inputs, names):
    """onnxruntime's tensors; where the file fixes the batch, one run an image."""
    have = [o.name for o in model.graph.output]
    model.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in have)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    del model.graph.output[len(have) :]
    if not isinstance(session.get_inputs()[0].shape[0], int):
        return dict(zip(names, session.run(names, inputs)))
    count = len(next(iter(inputs.values())))
    rows = [session.run(names, {k: v[i : i + 1] for k, v in inputs.items()}) for i in range(count)]
    return {n: np.concatenate(r) for n, r in zip(names, zip(*rows))}


def of_the_data(module):
    """Each node's first output, of the nodes that depend on the inputs' values."""
    alive, chosen = set(module.inputs), []
    for node in module.nodes:
        if alive.intersection(node.inputs) and node.op_type != "Shape":
            alive.update(node.outputs)
            chosen.append(node.outputs[0])
    return chosen


@pytest.fixture(scope="session")
def agree(full):
    """check(model, inputs, every, tolerance): outputs and every n-th tensor agree."""

    def check(model, inputs, every=7, tolerance=1e-4):
        module = onnx2jax.load(model)
        chosen = of_the_data(module)[::every]
        names = list(dict.fromkeys([*chosen, *module.outputs]))
        want = reference(model, inputs, names)
        options = None if full else UNOPTIMISED
        apply = jax.jit(lambda p, x: module.apply(p, x, names), compiler_options=options)
        got = apply(module.params, inputs)
        for name in names:
            assert got[name].shape == want[name].shape, name
            scale = np.abs(want[name]).max()
            error = np.abs(np.asarray(got[name]) - want[name]).max() / max(scale, 1e-6)
            assert error <= tolerance, f"{name}: {error:.2e}"
        return module

    return check
