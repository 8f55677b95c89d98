"""Addressing tensors, laziness, shape arithmetic and bad input."""

import jax
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mint_jax import onnx2jax
from mint_jax.errors import InputError

W = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
X = np.random.default_rng(1).standard_normal((2, 3, 8, 8)).astype(np.float32)


def model(*nodes, stored=(), shape=(None, 3, 8, 8), outputs=("y",), opset=17, **kwargs):
    graph = helper.make_graph(
        list(nodes),
        "net.onnx",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [onnx.ValueInfoProto(name=n) for n in outputs],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in dict(stored).items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, **kwargs)


def small():
    return model(
        helper.make_node("Conv", ["x", "w"], ["c"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["g"]),
        helper.make_node("Flatten", ["g"], ["y"]),
        stored={"w": W},
    )


def test_every_tensor_is_addressable():
    net = onnx2jax.load(small())
    assert (net.inputs, net.outputs) == (("x",), ("y",))
    assert net.tensors == ("c", "r", "g", "y")
    assert net.input_shape("x") == (None, 3, 8, 8)
    out = net.apply(net.params, {"x": X}, ["r", "w", "x", "y"])
    assert [v.shape for v in out.values()] == [(2, 4, 8, 8), (4, 3, 3, 3), X.shape, (2, 4)]
    np.testing.assert_array_equal(out["w"], W)
    np.testing.assert_allclose(out["y"], out["r"].mean((2, 3)), rtol=1e-5)


def test_parameters_are_arguments():
    net = onnx2jax.load(small())
    assert set(net.params) == {"w"}
    doubled = {"w": 2 * net.params["w"]}
    once, twice = (net.apply(p, {"x": X}, ["c"])["c"] for p in (net.params, doubled))
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-6)
    gradient = jax.grad(lambda p: net.apply(p, {"x": X})["y"].sum())(net.params)
    assert np.abs(gradient["w"]).max() > 0


def test_only_what_is_needed_is_evaluated():
    broken = helper.make_node("Reshape", ["r", "s"], ["y"])
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
    ]
    net = onnx2jax.load(model(*nodes, broken, stored={"w": W, "s": np.array([7, 7])}))
    assert net.apply(net.params, {"x": X}, ["r"])["r"].shape == (2, 4, 6, 6)
    with pytest.raises(InputError, match=r"Reshape .*'y'.*does not fit"):
        net.apply(net.params, {"x": X})


def test_shapes_stay_concrete_under_jit():
    """Flatten as exporters write it: Shape, Gather, Unsqueeze, Concat, Reshape."""
    net = onnx2jax.load(
        model(
            helper.make_node("Shape", ["x"], ["s"]),
            helper.make_node("Gather", ["s", "zero"], ["b"], axis=0),
            helper.make_node("Unsqueeze", ["b", "axis"], ["u"]),
            helper.make_node("Concat", ["u", "rest"], ["t"], axis=0),
            helper.make_node("Reshape", ["x", "t"], ["y"]),
            stored={"zero": np.array(0), "axis": np.array([0]), "rest": np.array([-1])},
        )
    )
    run = jax.jit(lambda x: net.apply(net.params, {"x": x})["y"])
    for batch in (1, 2):
        np.testing.assert_array_equal(run(X[:batch]), X[:batch].reshape(batch, -1))


def test_stored_scales_of_a_resize_are_no_parameters():
    resize = helper.make_node("Resize", ["x", "", "half"], ["y"])
    scales = np.float32([1, 1, 0.5, 0.5])
    net = onnx2jax.load(model(resize, stored={"half": scales}))
    assert not net.params
    y = jax.jit(lambda x: net.apply(net.params, {"x": x})["y"])(X)
    assert y.shape == (2, 3, 4, 4)


def test_a_shape_from_data_is_refused():
    net = onnx2jax.load(
        model(
            helper.make_node("Cast", ["x"], ["s"], to=TensorProto.INT64),
            helper.make_node("Reshape", ["x", "s"], ["y"], "bad"),
        )
    )
    assert net.static_inputs == ("x",)
    with pytest.raises(InputError, match=r"Reshape .*'bad', opset 17.*'s'.*concrete"):
        jax.jit(lambda x: net.apply(net.params, {"x": x}))(X)


def test_fixed_batch_is_followed_or_refused():
    """(1, 3, 64) -> (3, 1, 64) keeps no trace of where another batch would go."""
    fixed = {"shape": (1, 3, 8, 8)}
    good = model(helper.make_node("Reshape", ["x", "s"], ["y"]), stored={"s": [1, -1, 4]}, **fixed)
    net = onnx2jax.load(good)
    y = net.apply(net.params, {"x": X})["y"]
    np.testing.assert_array_equal(y, X.reshape(2, -1, 4))
    bad = model(
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2, 3]),
        helper.make_node("Reshape", ["t", "s"], ["y"]),
        stored={"s": [24, 8]},
        **fixed,
    )
    net = onnx2jax.load(bad)
    assert net.apply(net.params, {"x": X[:1]})["y"].shape == (24, 8)
    with pytest.raises(InputError, match="fixes the batch"):
        net.apply(net.params, {"x": X})


def test_functions_of_the_model_are_inlined():
    double = helper.make_function(
        "own",
        "Double",
        ["a"],
        ["b"],
        [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 17)],
    )
    call = helper.make_node("Double", ["x"], ["y"], domain="own")
    proto = model(call, functions=[double])
    proto.opset_import.append(helper.make_opsetid("own", 1))
    net = onnx2jax.load(proto)
    np.testing.assert_array_equal(net.apply({}, {"x": X})["y"], 2 * X)


@pytest.mark.parametrize(
    "node, opset, message",
    [
        (("NonMaxSuppression", ["x"], {}), 17, r"NonMaxSuppression .*opset 17.*not supp"),
        (("Relu", ["x"], {"slope": 1.0}), 17, r"Relu .*'n'.*'slope' is not handled"),
        (("Relu", ["nowhere"], {}), 17, r"Relu .*'nowhere' is not defined"),
        (("Relu", ["x", "x"], {}), 17, "at most 1 inputs, not 2"),
        (("Relu", ["x"], {}), 6, "opset 7 to 28 is supported, found 6"),
        (("Relu", ["x"], {}), 99, "found 99"),
    ],
)
def test_what_is_not_handled_is_named(node, opset, message):
    kind, inputs, attributes = node
    proto = helper.make_node(kind, inputs, ["y"], "n", **attributes)
    with pytest.raises(InputError, match=message):
        onnx2jax.load(model(proto, opset=opset))


def test_another_domain_is_named():
    node = helper.make_node("FusedConv", ["x"], ["y"], domain="com.microsoft")
    with pytest.raises(InputError, match=r"com\.microsoft\.FusedConv"):
        onnx2jax.load(model(node))


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_truncated_file_is_named(keep, tmp_path):
    whole = small().SerializeToString()
    path = tmp_path / "broken.onnx"
    path.write_bytes(whole[: int(keep * len(whole)) if keep < 1 else keep])
    with pytest.raises(InputError, match=r"broken\.onnx.*truncated"):
        onnx2jax.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.onnx.*No such file"):
        onnx2jax.load(tmp_path / "absent.onnx")


@pytest.mark.parametrize(
    "inputs, outputs, message",
    [
        ({"x": X[:, :2]}, None, r"'x' must have shape \(any, 3, 8, 8\).*\(2, 2, 8, 8\)"),
        ({"x": X[0]}, None, r"must have shape"),
        ({"x": X.astype(np.uint8)}, None, "must be float32, not uint8"),
        ({"image": X}, None, "no input 'image'; the inputs are x"),
        ({}, None, "input 'x' is not given"),
        ({"x": X}, ["relu"], "no tensor 'relu'"),
    ],
)
def test_wrong_requests_are_named(inputs, outputs, message):
    net = onnx2jax.load(small())
    with pytest.raises(InputError, match=message):
        net.apply(net.params, inputs, outputs)


def test_absent_parameter_is_named():
    net = onnx2jax.load(small())
    with pytest.raises(InputError, match="parameter 'w' is not given"):
        net.apply({}, {"x": X})
