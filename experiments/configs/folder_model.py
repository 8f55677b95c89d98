"""An audited model trained on a known random half of a folder of real photos.

`head=cosface` takes every person as a class (every photo, where the folder has no
sub-folders); `head=attributes` learns age, gender and race out of UTKFace's file names.

    python -m experiments.train_audited --workdir=runs/folder_model \
        --config=experiments/configs/folder_model.py:faces=DIR,head=cosface
"""

from ml_collections import ConfigDict

from experiments.configs import common, lab
from mint_jax.errors import InputError


def get_config(arg: str | None = None) -> ConfigDict:
    """Keys of `arg`: faces, head, epochs, seed, by (identity or image)."""
    args = common.parse(arg, faces="", head="cosface", epochs=40, seed=0, by="identity")
    if not args["faces"]:
        raise InputError("--config: folder_model.py needs faces=FOLDER")
    config = ConfigDict()
    config.name = f"{args['head']} on {args['faces']}"
    config.source = ConfigDict({"kind": "folder", "path": args["faces"]})
    config.split = ConfigDict({"by": args["by"], "members": 0.5, "seed": args["seed"]})
    config.labels = "attributes" if args["head"] == "attributes" else "identity"
    config.training = lab.training("softmax" if args["head"] == "attributes" else args["head"])
    config.training.update({key: args[key] for key in ("epochs", "seed")})
    config.verification_images = 2000
    config.workers = 1
    return config
