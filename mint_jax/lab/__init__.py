"""The lab: audited models that we train ourselves on a known part of a database.

Where nobody discloses a training set, this is the only place where an auditor's verdicts can
be compared with the truth.
"""

from mint_jax.lab.config import TrainConfig
from mint_jax.lab.step import PREPROCESSING
from mint_jax.lab.training import Trained, train
from mint_jax.lab.verification import verification_pairs

__all__ = ["PREPROCESSING", "TrainConfig", "Trained", "train", "verification_pairs"]
