"""The networks in onnx/backend/test/data/light, with weights that are alive."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
QUICK = ("squeezenet", "shufflenet")
SLOW = (
    "bvlc_alexnet",
    "densenet121",
    "inception_v1",
    "inception_v2",
    "resnet50",
    "vgg19",
    "zfnet512",
)


def with_random_weights(model):
    """The files fill every weight with .02, which makes all outputs alike: draw them."""
    rng = np.random.default_rng(0)
    graph = model.graph
    shapes = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    variances = {n.input[4] for n in graph.node if n.op_type == "BatchNormalization"}
    kept = []
    for node in graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape, name = shapes[node.input[0]], node.output[0]
        if name in variances:
            value = rng.uniform(0.5, 1.5, shape).astype(np.float32)
        else:
            fan_in = max(np.prod(shape[1:]), 1)
            value = rng.standard_normal(shape, np.float32) * np.float32(fan_in**-0.5)
        graph.initializer.append(numpy_helper.from_array(value, name))
    del graph.node[:]
    graph.node.extend(kept)
    return model


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(n, marks=pytest.mark.full) for n in SLOW)])
def test_light_network(name, agree):
    """At another batch than the file fixes."""
    model = with_random_weights(onnx.load(LIGHT / f"light_{name}.onnx"))
    weights = {t.name for t in model.graph.initializer}
    (source,) = (i for i in model.graph.input if i.name not in weights)
    size = [d.dim_value for d in source.type.tensor_type.shape.dim]
    images = np.random.default_rng(1).standard_normal((2, *size[1:]), np.float32)
    agree(model, {source.name: images}, every=9)
