"""Tables 1 and 2 of the MINT paper on the embedded ground truth: `make audit`.

The audited model is a small IResNet that we trained with CosFace on a known random half of the
people of a database of synthetic faces, so that the truth is known for every image. Other
synthetic databases stand in for the paper's external ones.

    python -m experiments.tables --config=experiments/configs/embedded.py --workdir=runs/embedded

The paper's own sizes: --config='experiments/configs/embedded.py:sizes=1000;50000;100000'
Source of the tables: DeAlcala et al., arXiv 2503.08332.
"""

from ml_collections import ConfigDict

from experiments.configs import common


def get_config(arg: str | None = None) -> ConfigDict:
    """Keys of `arg`: sizes."""
    args = common.parse(arg, sizes=(250, 500, 1000))
    config = common.tables(args["sizes"])
    config.audit_set = "embedded"
    config.other_network = "embedded_other"
    config.workers = 2  # the faces are rendered, which Python does one thread at a time
    return config
