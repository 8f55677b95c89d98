"""How the lab trains, where a configuration does not say otherwise."""

from ml_collections import ConfigDict


def training(head: str) -> ConfigDict:
    """Keyword arguments of `mint_jax.lab.TrainConfig`.

    Args:
      head: "cosface", or "softmax" over attributes.
    """
    return ConfigDict(
        {
            "architecture": {
                "kind": "iresnet",
                "name": "iresnet18",
                "width": 0.25,
                "embedding_size": 128,
                "input_size": 48,
            },
            "head": head,
            "scale": 64.0,
            "margin": 0.4,
            "epochs": 40,
            "batch_size": 128,
            "optimizer": "adamw",
            "learning_rate": 2e-3,
            "warmup_epochs": 1.0,
            "weight_decay": 0.05,
            "flip": True,
            "shift": 2,
            "seed": 0,
        }
    )
