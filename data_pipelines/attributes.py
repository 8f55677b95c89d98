"""Attribute classes out of the file names of UTKFace.

Source: Zhang et al., "Age Progression/Regression by Conditional Adversarial Autoencoder",
arXiv 1702.08423; a file is named `age_gender_race_stamp.jpg`.
"""

import re
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np

from data_pipelines.errors import InputError

_NAME = re.compile(r"(\d{1,3})_([01])_([0-4])_")
_DECADE = 10
_OLDEST = 8  # decades; older people share a class


def attribute_labels(keys: Sequence[str]) -> np.ndarray:
    """A class for each combination of decade of age, gender and race that occurs.

    Args:
      keys: names of files, with or without folders.

    Returns:
      (n,) int64 labels 0 .. classes - 1.

    Raises:
      InputError: a name is not of UTKFace's form.
    """
    return np.unique([_attributes(key) for key in keys], axis=0, return_inverse=True)[1].ravel()


def _attributes(key: str) -> tuple[int, int, int]:
    match = _NAME.match(PurePath(key).name)
    if match is None:
        raise InputError(f"{key}: the name does not begin with age_gender_race_")
    age, gender, race = map(int, match.groups())
    return min(age // _DECADE, _OLDEST), gender, race
