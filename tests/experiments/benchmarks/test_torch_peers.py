"""What runs in PyTorch computes what we compute; nothing here runs where it is not installed."""

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from experiments.benchmarks import forward, packs, torch_peers  # noqa: E402
from mint_jax import aad  # noqa: E402
from mint_jax.auditors import CNN, FitConfig, Vanilla  # noqa: E402

SMALL = {"name": "iresnet18", "width": 0.0625, "embedding": 16, "size": 40}


@pytest.mark.parametrize("folded", [True, False])
def test_embeddings(folded):
    model, _ = forward.network(**SMALL, folded=folded)
    images = forward.photos(3, 40)
    x = np.asarray(model.preprocessing(images)).transpose(0, 3, 1, 2)
    found = torch_peers.embedder(model.variables, x, threads=1)()
    expected = aad.make_extractor(model, ["outcome"])(images)["outcome"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_the_vanilla_auditor():
    about, x = Vanilla("conv1"), np.random.default_rng(0).standard_normal((5, 6), np.float32)
    variables = about.init(jax.random.key(0), x)
    network = torch_peers.VanillaAuditor((6,), about).eval()
    with torch.no_grad():
        for name, layer in zip(("Dense_0", "Dense_1", "Dense_2"), network.dense):
            own = variables["params"][name]
            layer.weight.copy_(torch.from_numpy(np.array(own["kernel"]).T))
            layer.bias.copy_(torch.from_numpy(np.array(own["bias"])))
        found = network(torch.from_numpy(x))
    for ours, theirs in zip(about.apply(variables, x), found):
        np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pool, side", [(1, 5), (2, 7)])
def test_the_cnn_auditor(pool, side):
    about = CNN("conv1", filters=(4, 6), hidden=5, pool=pool)
    x = np.random.default_rng(0).standard_normal((3, side, side, 2), np.float32)
    variables = about.init(jax.random.key(0), x)
    network = torch_peers.CNNAuditor(x.shape[1:], about).eval()
    with torch.no_grad():
        for name, layer in zip(("PatchConv_0", "PatchConv_1"), network.conv):
            kernel = np.array(variables["params"][name]["Dense_0"]["kernel"])
            kernel = kernel.reshape(3, 3, -1, kernel.shape[-1]).transpose(3, 2, 0, 1)
            layer.weight.copy_(torch.from_numpy(kernel))
            layer.bias.zero_()
        for name, layer in zip(("Dense_0", "Dense_1"), network.dense):
            kernel = np.array(variables["params"][name]["kernel"])
            layer.weight.copy_(torch.from_numpy(kernel.T))
            layer.bias.zero_()
        found = network(torch.from_numpy(x))
    for ours, theirs in zip(about.apply(variables, x), found):
        np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("about, shape", [(Vanilla("a", l1=0.0), (4,)), (CNN("a"), (3, 3, 4))])
def test_an_auditor_learns(about, shape):
    labels = np.arange(80) % 2
    features = np.random.default_rng(0).standard_normal((80, *shape), np.float32)
    features = (features.T + 4 * labels.astype(np.float32)).T.copy()
    train, config = np.arange(80) < 60, FitConfig(epochs=40, batch_size=16)
    arguments = about, features, labels, train, ~train, 0, config
    loss = torch_peers.fit(*arguments)
    assert loss < 0.1 and torch_peers.fit(*arguments) == loss


def test_all_images_are_loaded():
    assert torch_peers.loading(list(packs.textures(10, seed=0)), batch=4, workers=1)() == 10
