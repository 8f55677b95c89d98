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
_GENDERS = ("male", "female")  # the words of the database, as its page gives them
_RACES = ("White", "Black", "Asian", "Indian", "Others")
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


def named_attributes(keys: Sequence[str]) -> dict[str, np.ndarray]:
    """{"age", "gender", "race": (n,) words} of file names; empty where one is of another form."""
    try:
        found = [_attributes(key) for key in keys]
    except InputError:
        return {}
    ages = [
        f"{_DECADE * age} to {_DECADE * (age + 1) - 1}" if age < _OLDEST else "80 or more"
        for age, _, _ in found
    ]
    genders = [_GENDERS[gender] for _, gender, _ in found]
    races = [_RACES[race] for _, _, race in found]
    return {"age": np.array(ages), "gender": np.array(genders), "race": np.array(races)}


def _attributes(key: str) -> tuple[int, int, int]:
    match = _NAME.match(PurePath(key).name)
    if match is None:
        raise InputError(f"{key}: the name does not begin with age_gender_race_")
    age, gender, race = map(int, match.groups())
    return min(age // _DECADE, _OLDEST), gender, race
