"""Whether error rates hold where the hypothesis is true, and what is found where it is not.

The audited model is the embedded one, whose generator renders people whom nobody trained on.

    python -m experiments.null_models --workdir=runs/null_models
"""

from ml_collections import ConfigDict

from experiments.configs import common


def get_config(arg: str | None = None) -> ConfigDict:
    """Keys of `arg`: redraws, power_redraws, seed."""
    args = common.parse(arg, redraws=200, power_redraws=30, seed=0)
    config = ConfigDict(args)
    config.members = 2400  # people, and as many of the held-out half
    config.photos = 3  # of each person
    config.fresh = 3000  # people of the same generator in neither half
    config.elsewhere = 1500  # people of each other database, one photo each
    config.bank = 200  # people of each class
    config.train = 125  # people of each class
    config.calibration = 999  # people
    config.test = 100  # people
    config.unused_calibration = 499  # members, by photos that were not used
    config.unused_test = 75
    config.power_banks = (120, 240, 480, 960, 1800)  # people of each class
    config.power_test = 150  # members
    config.workers = 2  # the faces are rendered, which Python does one thread at a time
    return config
