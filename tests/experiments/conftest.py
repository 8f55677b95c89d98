"""Models of the lab that cost no training, and next to no compilation."""

import dataclasses

import jax
import numpy as np
import pytest

from mint_jax import audited, lab
from mint_jax.audited import iresnet_model


@pytest.fixture
def trainings(monkeypatch):
    """Replaces training by fresh weights, and the network by means of pixels in weighted colours.

    Returns:
      the calls: [(name of the folder, images, labels)].
    """
    calls, load, drawn = [], audited.load, []

    def fresh(architecture):
        if not drawn:
            drawn.append(iresnet_model.init(architecture, 0))
        return drawn[0]

    def train(config, images, labels, workdir):
        calls.append((workdir.name, images, labels))
        rng = np.random.default_rng(config.seed)
        variables = jax.tree.map(
            lambda x: x + rng.standard_normal(x.shape, np.float32), fresh(config.architecture)
        )
        size = config.architecture["embedding_size"]
        head = {"prototypes": rng.standard_normal((labels.max() + 1, size), np.float32)}
        return lab.Trained(variables, head, np.full((1, 3), 2.0 + config.seed))

    def forward(variables, x, layers):
        colours = x @ variables["params"]["stem_conv"]["kernel"][0, 0]
        cells = colours.reshape(len(x), 2, x.shape[1] // 2, 2, x.shape[2] // 2, 4).mean((2, 4))
        outcome = cells.reshape(len(x), -1)[:, :8]
        return {layer: outcome if layer == "outcome" else cells for layer in layers}

    monkeypatch.setattr(lab, "train", train)
    monkeypatch.setattr(audited, "load", lambda x: dataclasses.replace(load(x), forward=forward))
    return calls
