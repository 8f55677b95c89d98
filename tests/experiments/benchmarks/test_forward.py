"""Networks that race give the same, and operations are counted as the graph has them."""

import numpy as np
import onnx
import pytest

from experiments.benchmarks import accelerator, forward, products
from mint_jax import aad, patches, winograd
from mint_jax.auditors import cosines

SMALL = {"name": "iresnet18", "width": 0.0625, "embedding": 16, "size": 40}


def test_embeddings_of_all_who_race():
    race = forward.extract(3, turns=1, goal=1.2, **SMALL)  # compares them
    assert race.n == 3 and race.ours() > 0
    reference, torch = race.peers
    assert reference.goal == torch.goal == 1.2 and reference.figure() > 0
    assert "iresnet18, 40x40, float32, batch 3" in race.words


def test_a_network_that_gives_something_else_does_not_race(monkeypatch):
    wrong = {"outcome": np.ones((3, 16), np.float32)}
    monkeypatch.setattr(aad, "make_extractor", lambda *args, **kwargs: lambda images: wrong)
    with pytest.raises(ArithmeticError, match="onnxruntime"):
        forward.extract(3, turns=1, goal=1.2, **SMALL)


def test_operations_are_those_of_the_graph():
    model, content = forward.network(**SMALL)
    graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(content)).graph
    weights = {stored.name: list(stored.dims) for stored in graph.initializer}
    shapes = {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in [*graph.value_info, *graph.output]
    }
    counts, adds = [0], []
    for node in graph.node:
        if node.op_type == "Add":
            adds.append(counts[-1])
        if node.op_type in ("Conv", "Gemm"):
            places = np.prod(shapes[node.output[0]][2:], dtype=int)
            counts.append(counts[-1] + 2 * int(places * np.prod(weights[node.input[1]])))
    layers = ("conv1", "conv2", "conv3", "conv4", "outcome")
    found = [forward.operations(model.architecture, layer) for layer in layers]
    assert found == [*adds[1::2], counts[-1]]


def test_operations_of_the_published_network():
    about = {"name": "iresnet100", "width": 1.0, "embedding_size": 512, "input_size": 112}
    assert round(forward.operations(about, "outcome") / 1e9, 1) == 24.2
    assert round(forward.operations(about, "conv1") / 1e9, 1) == 2.1


@pytest.mark.parametrize("layer", ["conv1", "conv4"])
def test_a_part_beside_the_whole(layer):
    race = forward.truncation(layer, 2, **SMALL)
    (peer,) = race.peers
    about = forward.network(**SMALL)[0].architecture
    whole, part = (forward.operations(about, end) for end in ("outcome", layer))
    assert peer.figure() == whole / part and peer.goal == 0.7 and race.ours() > 0
    assert f"{layer} of iresnet18 alone, batch 2" in race.words


def test_one_face_beside_a_whole_step(monkeypatch):
    race = forward.one_face(3, **SMALL)  # compares them
    assert race.n == 1 and race.ours() > 0 and race.peers[0].figure() > 0
    other = aad.make_extractor(forward.network(**SMALL)[0], ["conv1"], "max", 1)
    wrong = lambda images: {"outcome": other(images)["conv1"][:, :1]}  # noqa: E731
    monkeypatch.setattr(aad.Extractor, "suited", lambda self, count: wrong)
    with pytest.raises(ArithmeticError, match="a photo in two views"):
        forward.one_face(3, **SMALL)


def test_bfloat16_gives_about_what_float32_gives():
    model, _ = forward.network(**SMALL)
    images = forward.photos(3, 40)
    exact = aad.make_extractor(model, ["outcome"])(images)["outcome"]
    found = np.asarray(accelerator.in_bfloat16(model)(model.variables, images))
    assert found.dtype == np.float32
    error = np.abs(found - exact).max() / np.abs(exact).max()
    assert 1e-5 < error < accelerator.TOLERANCE


def test_an_accelerators_races():
    (peer,) = accelerator.extract(2, **SMALL).peers
    assert peer.goal == 1.0
    race = accelerator.ceiling(2, side=16, **SMALL)
    (peer,) = race.peers
    assert race.unit == "TFLOP/s" and race.ours() > 0 and peer.figure() > 0 and peer.goal == 0.5


def test_the_search_finds_what_the_product_finds(monkeypatch):
    race = products.search(bank=300, queries=2100, width=16)  # compares them
    assert race.ours() > 0 and race.peers[0].figure() > 0
    exact = cosines.cosine_statistics
    monkeypatch.setattr(cosines, "cosine_statistics", lambda q, known, k: exact(q, known[1:], k))
    with pytest.raises(ArithmeticError, match="search"):
        products.search(bank=300, queries=2100, width=16)


def test_both_convolutions_have_the_same_gradients():
    race = products.small_maps(batch=3, channels=5)  # compares them
    assert race.ours() > 0 and race.peers[0].figure() > 0


@pytest.mark.parametrize("stride", [1, 2])
def test_products_give_what_xlas_convolution_gives(stride, monkeypatch):
    race = products.product(side=7, channels=5, stride=stride, batch=2)
    assert race.n % 2 == 0 and race.ours() > 0 and race.peers[0].figure() > 0
    monkeypatch.setattr(patches, "convolve", lambda x, k, stride: x[:, ::stride, ::stride])
    with pytest.raises(ArithmeticError, match="as a matrix product"):
        products.product(side=7, channels=5, stride=stride, batch=2)


def test_tiles_of_either_side_give_what_xlas_convolution_gives(monkeypatch):
    race = products.tiles(side=9, channels=5, tile=4, batch=2)  # compares them
    xla, other = race.peers
    assert race.n % 2 == 0 and race.ours() > 0 and xla.figure() > 0 and other.figure() > 0
    exact = winograd.convolve
    monkeypatch.setattr(winograd, "convolve", lambda x, kernels: exact(x, kernels)[:, :, ::-1])
    with pytest.raises(ArithmeticError, match="in tiles of 4"):
        products.tiles(side=9, channels=5, tile=4, batch=2)


def test_tiles_along_one_axis_give_what_xlas_convolution_gives(monkeypatch):
    race = products.alone(side=9, channels=5, tile=4)  # compares them
    assert race.n == 1 and race.ours() > 0 and all(peer.figure() > 0 for peer in race.peers)
    exact = winograd.convolve
    monkeypatch.setattr(winograd, "convolve", lambda x, kernels: exact(x, kernels)[:, :, ::-1])
    with pytest.raises(ArithmeticError, match="tiles of 4 along an axis"):
        products.alone(side=9, channels=5, tile=4)
