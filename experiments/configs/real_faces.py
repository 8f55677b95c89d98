"""Tables 1 and 2 where the truth is known, on real photos: M is trained here, on a random half.

`faces` is a folder of photos, each of another person; after a screen for near-duplicates a random
half of them becomes the training set of an IResNet, the other half the non-members. Two heads:
`cosface` takes every photo as its own class, with flips and shifts; `attributes` learns age,
gender and race out of UTKFace's file names (`age_gender_race_stamp.jpg`).

    python -m experiments.tables --workdir=runs/real_cosface \
        --config=experiments/configs/real_faces.py:faces=DIR,externals=DIR,head=cosface

Synthetic databases are added to the externals, because a small folder does not fill a table.
"""

from ml_collections import ConfigDict

from experiments.configs import common
from mint_jax.errors import InputError


def get_config(arg: str | None = None) -> ConfigDict:
    """Keys of `arg`: faces, externals, head, epochs, detector, sizes."""
    args = common.parse(
        arg,
        faces="",
        externals=("",),
        head="cosface",
        epochs=0,
        detector="",
        sizes=(250, 500, 1000),
    )
    if not args["faces"]:
        raise InputError("--config: real_faces.py needs faces=FOLDER")
    config = common.tables(args.pop("sizes"))
    config.audit_set = "trained_here"
    config.update(args)
    return config
