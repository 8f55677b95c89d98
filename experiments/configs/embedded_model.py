"""The audited model that is shipped: an IResNet-18 at a quarter of the width, CosFace.

Its members are a seeded random half of the people of a database of synthetic faces. Images are
read at 28x28, the means of 4x4 pixels, and mirrored at random as InsightFace does. That is
small enough to train on two CPU cores in minutes, and enough to recognise strangers.

    python -m experiments.train_audited --config=experiments/configs/embedded_model.py \
        --workdir=runs/embedded_model

wrote `runs/embedded_model/model`, which is shipped as `mint_jax/audited/embedded`. The same with
`embedded_model.py:people=1` wrote `mint_jax/audited/embedded_other`: a network of the same recipe
that saw other people, the control that knows faces and nothing of the members.
"""

from ml_collections import ConfigDict

from experiments.configs import common, lab


def get_config(arg: str | None = None) -> ConfigDict:
    """Keys of `arg`: identities, images_per_identity, people, epochs, shift, seed."""
    args = common.parse(
        arg, identities=4800, images_per_identity=3, people=0, epochs=40, shift=0, seed=0
    )
    config = ConfigDict()
    others = f", people {args['people']}" if args["people"] else ""
    config.name = f"embedded IResNet-18 (CosFace, synthetic faces{others})"
    config.source = ConfigDict(
        {
            "kind": "synthetic_faces",
            "database": "studio",
            "seed": args["people"],
            "identities": args["identities"],
            "images_per_identity": args["images_per_identity"],
        }
    )
    config.split = ConfigDict({"by": "identity", "members": 0.5, "seed": args["seed"]})
    config.labels = "identity"
    config.training = lab.training("cosface")
    config.training.architecture.input_size = 28
    config.training.update({key: args[key] for key in ("epochs", "shift", "seed")})
    config.verification_images = 2000
    config.workers = 1
    return config
