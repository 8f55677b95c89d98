"""The MINT paper's own experiment: IResNet-100, Glint360K against four external databases.

    python -m experiments.import_weights --onnx=glint360k_cosface_r100.onnx --output=r100
    python -m experiments.tables --workdir=runs/paper --config=experiments/configs/paper.py:\
audited=r100,glint360k=DIR,ijbc=DIR,fddb=DIR,gandiffface=DIR,adience=DIR

Each folder is the database as it is downloaded; one that is left out is left out of the externals.
Members are images of Glint360K. The paper knows no images of Glint360K that were held out of
training, so its protocol is `cross_database` alone, the matched one is null, and the report says
what follows: nothing here tells membership from the database. Whoever holds such images gives them
as `non_members`.

The paper does not say how many images its auditors are tested on; 10,000 of each class are the
least that support a true positive rate at 0.1% false positives. FDDB has only 5,171 faces: the
larger databases make up for it. Source: DeAlcala et al., arXiv 2402.09225 and 2503.08332.
"""

from ml_collections import ConfigDict

from experiments.configs import common
from mint_jax.errors import InputError

_EXTERNALS = ("ijbc", "fddb", "gandiffface", "adience")


def get_config(arg: str | None = None) -> ConfigDict:
    """Keys of `arg`: audited, glint360k, ijbc, fddb, gandiffface, adience, non_members, sizes."""
    args = common.parse(
        arg,
        audited="",
        glint360k="",
        non_members=("",),
        sizes=(1000, 50_000, 100_000),
        **dict.fromkeys(_EXTERNALS, ""),
    )
    given = [name for name in _EXTERNALS if args[name]]
    for key in ("audited", "glint360k"):
        if not args[key]:
            raise InputError(f"--config: paper.py needs {key}=...")
    if not given:
        raise InputError(f"--config: paper.py needs one of {', '.join(_EXTERNALS)}")
    config = common.tables(args["sizes"])
    config.audit_set = "sources"
    config.audited = args["audited"]
    config.members = (f"glint360k:{args['glint360k']}",)
    config.non_members = args["non_members"]
    config.externals = tuple(f"{name}:{args[name]}" for name in given)
    config.antialias = False  # as the members were cut, or the warp tells the databases apart
    config.test_images = config.bank_images = config.threshold_images = 10_000
    return config
