"""Networks that are no IResNets: the real ones, their layers, their random controls."""

import shutil

import jax
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from mint_jax import audited
from mint_jax.errors import InputError

NETWORKS = {
    "sface_2021dec": (lambda x: x, (128, 256, 512, 1024)),
    "mobilefacenet_ms1m_y1": (lambda x: x, (128, 256, 512, 512)),
    "mobilefacenet_casia": (lambda x: x / 127.5 - 1, (128, 256, 512, 512)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_real_networks_against_onnxruntime(test_data, name):
    path = test_data / "models" / f"{name}.onnx"
    scale, channels = NETWORKS[name]
    model = audited.load(path)
    assert model.info["identified_by"] == "sha256"
    images = np.random.default_rng(1).integers(0, 256, (3, 112, 112, 3), np.uint8)
    found = jax.jit(lambda v, i: model.apply(v, i, model.layers))(model.variables, images)
    shapes = [found[layer].shape for layer in model.layers]
    sides = (56, 28, 14, 7)
    assert shapes == [(3, s, s, c) for s, c in zip(sides, channels)] + [(3, 128)]
    x = scale(images.astype(np.float32)).transpose(0, 3, 1, 2)
    for layer, expected in _run(path, x, model.info["tensors"]).items():
        if expected.ndim == 4 and layer != "outcome":
            expected = expected.transpose(0, 2, 3, 1)
        difference = np.abs(found[layer] - expected.reshape(found[layer].shape)).max()
        assert difference <= 1e-4 * np.abs(expected).max(), layer


def _run(path, x, tensors):
    model = onnx.load(path)
    present = {output.name for output in model.graph.output}
    for name in set(tensors.values()) - present:
        model.graph.output.add(name=name)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    runs = [session.run(list(tensors.values()), {name: row[None]}) for row in x]
    return {layer: np.concatenate(rows) for layer, rows in zip(tensors, zip(*runs))}


def _network(path, *, outputs=("y",), shape=("N", 3, 24, 24), quantised=False):
    """Conv/2, Relu, Conv/2, depthwise Conv, GlobalAveragePool, Flatten, MatMul."""
    generator = np.random.default_rng(0)
    sizes = {"a": (4, 3, 3, 3), "b": (6, 4, 3, 3), "c": (6, 1, 3, 3), "p": (1, 6, 6, 6)}
    sizes |= {"m": (6, 5), "bias": (4,)}
    stored = {name: generator.standard_normal(size, np.float32) for name, size in sizes.items()}
    node, down = helper.make_node, {"strides": [2, 2], "pads": [1] * 4}
    nodes = [
        node("Conv", ["x", "a", "bias"], ["c1"], **down),
        node("Relu", ["c1"], ["r1"]),
        node("Conv", ["r1", "b"], ["c2"], **down),
        node("Conv", ["c2", "c"], ["c3"], pads=[1] * 4, group=6),
        node("Add", ["c3", "p"], ["a3"]),
        node("GlobalAveragePool", ["a3"], ["g"]),
        node("Flatten", ["g"], ["f"]),
        node("MatMul", ["f", "m"], ["y"]),
    ]
    if quantised:
        stored |= {"q": np.ones((4, 3, 3, 3), np.int8), "s": np.float32(0.1)}
        nodes.insert(0, node("DequantizeLinear", ["q", "s"], ["dq"]))
        nodes[1].input[1] = "dq"
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "small",
        [value("x", TensorProto.FLOAT, shape)],
        [value(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in stored.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def test_layers_are_the_last_tensors_at_their_resolution(tmp_path):
    model = audited.load(_network(tmp_path / "small.onnx"))
    assert model.info["tensors"] == {"conv1": "r1", "conv2": "a3", "outcome": "y"}
    assert model.input_size == 24 and model.preprocessing == audited.Preprocessing()
    assert model.name == "small" and model.info["training_database"] == "unknown"


def test_file_names_only_claim(tmp_path):
    model = audited.load(_network(tmp_path / "my_glint360k_net.onnx"))
    assert "claims" in model.info["training_database"]
    assert model.info["identified_by"] == "file name"


def test_random_weights_leave_nothing_that_was_learned(tmp_path):
    model = audited.load(_network(tmp_path / "small.onnx"))
    drawn = audited.randomised(model, 4).variables
    for name, learned in model.variables.items():
        assert drawn[name].shape == learned.shape
        if name != "bias":
            correlation = np.corrcoef(np.ravel(drawn[name]), np.ravel(learned))[0, 1]
            assert abs(correlation) < 0.5
    np.testing.assert_array_equal(drawn["bias"], 0)
    assert np.std(drawn["b"]) == pytest.approx((2 / 36) ** 0.5, rel=0.2)
    assert np.std(drawn["c"]) == pytest.approx((2 / 9) ** 0.5, rel=0.3)


def test_random_real_network_keeps_its_normalisation(test_data):
    model = audited.load(test_data / "models" / "sface_2021dec.onnx")
    drawn = audited.randomised(model, 0)
    same = {
        name
        for name, value in model.variables.items()
        if value.size and np.array_equal(value, drawn.variables[name])
    }
    assert same == {"scalar_op1", "scalar_op2"}


def test_quantised_networks_have_no_random_control(tmp_path):
    model = audited.load(_network(tmp_path / "small.onnx", quantised=True))
    with pytest.raises(InputError, match="small.onnx.*quantised"):
        audited.randomised(model, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": ("N", 1, 24, 24)}, "input size"),
        ({"shape": ("N", 3, 24, 32)}, "input size"),
        ({"shape": ("N", 3)}, "input size"),
        ({"outputs": ("m",)}, "one row an image"),
    ],
)
def test_networks_that_embed_no_images(tmp_path, options, message):
    with pytest.raises(InputError, match=f"small.onnx.*{message}"):
        audited.load(_network(tmp_path / "small.onnx", **options))


def test_a_truncated_real_network(test_data, tmp_path):
    path = tmp_path / "cut.onnx"
    shutil.copy(test_data / "models" / "mobilefacenet_casia.onnx", path)
    with open(path, "r+b") as file:
        file.truncate(100_000)
    with pytest.raises(InputError, match="cut.onnx"):
        audited.load(path)
