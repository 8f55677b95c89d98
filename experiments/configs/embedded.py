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
    config.bank_images = 3000
    # A p-value of .01 that holds given the calibration set takes 598 people of each null, who have
    # three photos in support where three are asked about.
    config.calibration_images, config.calibration_members = 3600, 2400
    config.workers = 2  # the faces are rendered, which Python does one thread at a time
    return config
