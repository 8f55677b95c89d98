"""Import of IResNets from ONNX, against onnxruntime."""

import jax
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from mint_jax import audited
from mint_jax.audited import iresnet_model
from mint_jax.audited.import_iresnet import NotAnIResNet
from mint_jax.audited.onnx_model import import_iresnet
from mint_jax.audited.verify import relative_errors
from mint_jax.errors import InputError

STAGE_ADDS = {"iresnet18": (2, 4, 6, 8), "iresnet100": (3, 16, 46, 49)}


def reference(model, x, tensors):
    """Values of `tensors` of an ONNX model for x (B, 3, S, S), one image at a time."""
    present = {output.name for output in model.graph.output}
    for name in set(tensors) - present:
        model.graph.output.add(name=name)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    runs = [session.run(tensors, {name: row[None]}) for row in x]
    return [np.concatenate(rows) for rows in zip(*runs)]


def assert_same(model, network, scale, tolerance=1e-4):
    """All layers of an import against onnxruntime; `scale` as the file wants pixels."""
    adds = [node.output[0] for node in network.graph.node if node.op_type == "Add"]
    ends = np.cumsum(audited.iresnet(model.architecture["name"]).blocks)
    tensors = [adds[end - 1] for end in ends] + [network.graph.output[0].name]
    size = model.input_size
    images = np.random.default_rng(3).integers(0, 256, (2, size, size, 3), np.uint8)
    x = scale(images.astype(np.float32)).transpose(0, 3, 1, 2)
    found = jax.jit(lambda v, i: model.apply(v, i, model.layers))(model.variables, images)
    for layer, expected in zip(model.layers, reference(network, x, tensors), strict=True):
        got = np.asarray(found[layer])
        got = got.transpose(0, 3, 1, 2) if got.ndim == 4 else got
        assert got.shape == expected.shape
        assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()


def insightface(x):
    return (x - 127.5) / 127.5


def raw(x):
    return x


@pytest.mark.parametrize(
    ("options", "scale"),
    [
        ({}, insightface),
        ({"folded": False, "opset": 9, "batch": 1, "dropout": True}, insightface),
        ({"leading": True, "opset": 17}, raw),
    ],
    ids=["folded", "unfolded", "leading"],
)
def test_published_forms(write_iresnet, options, scale):
    path, network = write_iresnet("iresnet18", **options)
    model = import_iresnet(path)
    assert model.input_size == 112
    assert max(model.info["relative_error"].values()) < 1e-5
    assert_same(model, network, scale)


@pytest.mark.parametrize(
    "options",
    [
        {"folded": False, "identity": True, "epsilon": 2e-5, "opset": 13},
        {"half": "cast", "identity": True},
        {"half": "whole"},
        {"size": 56, "folded": False},
    ],
    ids=["identity", "half_stored", "half", "size"],
)
def test_variants_by_their_own_verification(write_iresnet, options):
    """In float16 throughout, the reference has the same weights and computes in float32."""
    path, _ = write_iresnet("iresnet18", **options)
    model = import_iresnet(path)
    assert model.input_size == options.get("size", 112)
    assert max(model.info["relative_error"].values()) < 1e-5


@pytest.mark.parametrize("name", ["iresnet50", "iresnet100"])
def test_depths(write_iresnet, name):
    path, network = write_iresnet(name, folded=name == "iresnet50", width=0.0625)
    model = import_iresnet(path)
    assert model.architecture["name"] == name
    assert_same(model, network, insightface)


@pytest.mark.full
@pytest.mark.parametrize("name", ["iresnet18", "iresnet50", "iresnet100"])
@pytest.mark.parametrize("folded", [True, False])
def test_published_sizes(write_iresnet, name, folded):
    path, network = write_iresnet(name, folded=folded, width=1.0, embedding=512)
    model = import_iresnet(path)
    if name == "iresnet100":
        assert model.info["parameters"] == 65_156_160
    assert_same(model, network, insightface)


@pytest.mark.parametrize("name", STAGE_ADDS)
def test_stage_ends_are_the_published_adds(name):
    assert tuple(np.cumsum(audited.iresnet(name).blocks)) == STAGE_ADDS[name]


def test_parameters_of_r100():
    shapes = iresnet_model.shapes({"name": "iresnet100"})
    assert sum(x.size for x in jax.tree.leaves(shapes["params"])) == 65_156_160


def test_load_takes_an_iresnet_and_a_preprocessing(write_iresnet):
    path, network = write_iresnet("iresnet18", leading=True, size=56)
    given = audited.Preprocessing(mean=10.0, scale=0.5)
    model = audited.load(path, given)
    assert model.architecture["name"] == "iresnet18"
    assert_same(model, network, lambda x: (x - 10) * 0.5)


def test_a_wrong_import_is_noticed(write_iresnet):
    path, network = write_iresnet("iresnet18", size=56, width=0.0625)
    model = import_iresnet(path)
    kernel = model.variables["params"]["stage3_block1_conv2"]["kernel"]
    kernel = kernel.at[0, 0, 0, 0].add(0.3)
    model.variables["params"]["stage3_block1_conv2"]["kernel"] = kernel
    tensors = {"outcome": network.graph.output[0].name}
    with pytest.raises(InputError, match="does not reproduce onnxruntime: outcome"):
        relative_errors(model, path, audited.Preprocessing(), tensors)


def _spoil(model, op_type, **attributes):
    node = next(node for node in model.graph.node if node.op_type == op_type)
    for name, value in attributes.items():
        for old in [a for a in node.attribute if a.name == name]:
            node.attribute.remove(old)
        node.attribute.append(helper.make_attribute(name, value))


@pytest.mark.parametrize(
    ("op_type", "attributes", "message"),
    [
        ("Conv", {"strides": [2, 2]}, "strides"),
        ("Conv", {"dilations": [2, 2]}, "dilations"),
        ("Gemm", {"alpha": 2.0}, "alpha"),
        ("Flatten", {"axis": 2}, "axis"),
        ("PRelu", {"curve": 2}, "curve"),
    ],
)
def test_attributes_of_other_networks(write_iresnet, op_type, attributes, message):
    path, model = write_iresnet("iresnet18", size=56)
    _spoil(model, op_type, **attributes)
    onnx.save(model, path)
    with pytest.raises(InputError, match=message):
        import_iresnet(path)


def test_layers_of_other_networks(write_iresnet):
    path, model = write_iresnet("iresnet18", size=56)
    model.graph.node.append(helper.make_node("Relu", [model.graph.output[0].name], ["more"]))
    model.graph.output[0].name = "more"
    onnx.save(model, path)
    with pytest.raises(NotAnIResNet, match="only output"):
        import_iresnet(path)


def test_a_truncated_file(write_iresnet):
    path, _ = write_iresnet("iresnet18", size=56)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="network.onnx.*truncated"):
        audited.load(path)


def test_an_absent_file(tmp_path):
    with pytest.raises(InputError, match="none.onnx"):
        audited.load(tmp_path / "none.onnx")


def test_a_wrong_input_size(write_iresnet):
    path, _ = write_iresnet("iresnet18", declared=160)
    with pytest.raises(InputError, match="input size.*112"):
        import_iresnet(path)
