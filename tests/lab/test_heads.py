"""CosFace against closed forms and a NumPy transcription of the paper's equation."""

import jax
import numpy as np
import pytest
from sklearn.metrics import log_loss

from mint_jax.errors import InputError
from mint_jax.lab import TrainConfig
from mint_jax.lab.heads import cosface_losses, head_losses, init_head

ARCHITECTURE = {
    "kind": "iresnet",
    "name": "iresnet18",
    "width": 0.0625,
    "embedding_size": 8,
    "input_size": 16,
}


@pytest.mark.parametrize(("scale", "margin"), [(64.0, 0.4), (30.0, 0.35), (1.0, 0.0)])
def test_cosface_in_a_plane_has_a_closed_form(scale, margin):
    """Prototypes along the axes: the cosines are those of the embedding's angle."""
    angle = np.linspace(0, 2 * np.pi, 9)
    embeddings = 3 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    losses = cosface_losses(
        embeddings.astype(np.float32),
        np.diag([0.5, 7.0]).astype(np.float32),
        np.zeros(9, np.int32),
        scale,
        margin,
    )
    expected = np.log1p(np.exp(scale * (np.sin(angle) - np.cos(angle) + margin)))
    np.testing.assert_allclose(losses, expected, rtol=1e-4, atol=1e-5)


def test_cosface_against_scikit_learn():
    rng = np.random.default_rng(0)
    embeddings, prototypes = rng.normal(size=(6, 5)), rng.normal(size=(4, 5))
    labels = np.array([0, 1, 2, 3, 0, 1])
    cosines = embeddings @ prototypes.T
    cosines /= np.linalg.norm(embeddings, axis=1)[:, None]
    cosines /= np.linalg.norm(prototypes, axis=1)
    logits = 8 * (cosines - 0.4 * (labels[:, None] == np.arange(4)))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    losses = cosface_losses(
        *(x.astype(np.float32) for x in (embeddings, prototypes)), labels, 8.0, 0.4
    )
    assert float(losses.mean()) == pytest.approx(log_loss(labels, probabilities), rel=1e-5)


def test_cosface_is_finite_for_a_zero_embedding():
    gradient = jax.grad(
        lambda x: cosface_losses(x, np.eye(3, dtype=np.float32), np.zeros(1, int), 64, 0.4).sum()
    )(np.zeros((1, 3), np.float32))
    assert np.isfinite(gradient).all()


def test_softmax_head_uses_lengths_and_bias():
    config = TrainConfig(ARCHITECTURE, head="softmax")
    head = init_head(config, jax.random.key(0), 3)
    assert {k: v.shape for k, v in head.items()} == {"prototypes": (3, 8), "bias": (3,)}
    head = {"prototypes": 0 * head["prototypes"], "bias": np.log([0.2, 0.3, 0.5])}
    losses = head_losses(config, head, np.ones((3, 8), np.float32), np.arange(3))
    np.testing.assert_allclose(losses, -np.log([0.2, 0.3, 0.5]), rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"head": "arcface"}, "not one of cosface, softmax"),
        ({"optimizer": "lion"}, "not one of sgd, adamw"),
        ({"epochs": 0}, "epochs is 0"),
        ({"shift": -1}, "shift is -1"),
        ({"architecture": {"kind": "vit"}}, "IResNets only"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(change, reason):
    with pytest.raises(InputError, match=reason):
        TrainConfig(**{"architecture": ARCHITECTURE, **change})
