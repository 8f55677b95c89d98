"""People of the embedded model, of whom the truth is known: synthetic faces, in memory.

They are of the test part of the audit of `experiments/configs/embedded.py`: of nobody in a bank or
among those that an auditor was trained, or a verdict calibrated, on.
"""

from pathlib import Path

import numpy as np

from data_pipelines import images
from data_pipelines.sources import Subset
from experiments import audit, audit_sets
from experiments.configs import embedded
from mint_jax.demonstrator import Example

_EACH = 6  # people on either side
_PHOTOS = 3  # of each of them
_QUALITY = 95


def examples() -> list[Example]:
    """Renders the photos, of members and of non-members by turns; the draw is not by score."""
    config = embedded.get_config()
    parts = audit.draw(audit_sets.embedded(config, Path()), config)
    sides = [_draw(parts[side]["test"], side == "members") for side in ("members", "non_members")]
    return [example for pair in zip(*sides) for example in pair]


def _draw(source: Subset, member: bool) -> list[Example]:
    """Photos of the first people who have enough of them."""
    people, counts = np.unique(source.identities, return_counts=True)
    found = []
    for person in people[counts >= _PHOTOS][:_EACH].tolist():
        rows = np.flatnonzero(source.identities == person)[:_PHOTOS].tolist()
        files = [images.encode_jpeg(source[row]["image"], _QUALITY) for row in rows]
        found.append(Example(str(person), files, member))
    return found
