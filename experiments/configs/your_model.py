"""Tables 1 and 2 for a network file and photos that you bring, in folders or any other source.

`members` is a folder of photos that the network was trained on, `externals` one or more folders of
other photos, and `non_members`, if you have it, a folder of photos of the *same collection* that
were held out of training: without it nobody can tell membership from the database, the matched
protocol is null, and the report says so.

    python -m experiments.tables --workdir=runs/mine --config=experiments/configs/your_model.py:\
onnx=FILE,members=DIR,externals=DIR;DIR[,non_members=DIR][,sizes=250;500;1000][,detector=FILE]
"""

from ml_collections import ConfigDict

from experiments.configs import common
from mint_jax.errors import InputError


def get_config(arg: str | None = None) -> ConfigDict:
    """Keys of `arg`: onnx, members, externals, non_members, detector, sizes."""
    args = common.parse(
        arg,
        onnx="",
        members=("",),
        externals=("",),
        non_members=("",),
        detector="",
        sizes=(250, 500, 1000),
    )
    for key in ("onnx", "members", "externals"):
        if not args[key] or args[key] == ("",):
            raise InputError(f"--config: your_model.py needs {key}=...")
    config = common.tables(args.pop("sizes"))
    config.audit_set = "sources"
    config.audited = args.pop("onnx")
    config.update(args)
    return config
