"""Models of one recipe on random halves of one database: `experiments.reference_models`.

The recipe is the embedded model's, on fewer photos and in smaller batches: 18 trainings take less
than an hour on two idle CPU cores, and the last epoch's training loss is near the embedded model's.

    python -m experiments.reference_models --config=experiments/configs/reference_models.py \
        --workdir=runs/reference_models

`:by=identity` draws halves of the people. Then nobody but members has a class, and the rows that
read the own class are left out.
"""

from ml_collections import ConfigDict

from experiments.configs import common, lab


def get_config(arg: str | None = None) -> ConfigDict:
    """Keys of `arg`: by, identities, images_per_identity, pairs, epochs, batch_size, seed."""
    args = common.parse(
        arg,
        by="image",
        identities=600,
        images_per_identity=4,
        pairs=9,
        epochs=16,
        batch_size=64,
        seed=0,
    )
    config = ConfigDict({key: args[key] for key in ("by", "pairs", "seed")})
    config.source = ConfigDict(
        {
            "kind": "synthetic_faces",
            "database": "studio",
            "seed": 7,
            "identities": args["identities"],
            "images_per_identity": args["images_per_identity"],
        }
    )
    config.strangers = 1 / 6  # of the people, in no training: the population of RMIA
    config.training = lab.training("cosface")
    config.training.architecture.input_size = 28
    config.training.update({"epochs": args["epochs"], "batch_size": args["batch_size"], "shift": 0})
    config.gamma = 1.0  # of RMIA; the paper's 2 is out of reach: (1 + cosine) / 2 is nearly 1
    config.workers = 0
    return config
