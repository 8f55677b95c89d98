"""Example photos of the embedded model, of which the truth is known: synthetic faces, in memory.

They are of the test part of the audit of `experiments/configs/embedded.py`: of nobody in a bank or
among those that an auditor was trained, or a verdict calibrated, on.
"""

from pathlib import Path

from data_pipelines import images
from data_pipelines.sources import Subset
from experiments import audit, audit_sets
from experiments.configs import embedded
from mint_jax.demonstrator import Example
from mint_jax.evidence import operating

_EACH = 3  # of members, and of non-members
_QUALITY = 95


def examples() -> list[Example]:
    """Renders the photos, a member and a non-member by turns; the draw is not by score."""
    config = embedded.get_config()
    parts = audit.draw(audit_sets.embedded(config, Path()), config)
    sides = [_draw(parts[side]["test"], side == "members") for side in ("members", "non_members")]
    return [example for pair in zip(*sides) for example in pair]


def _draw(source: Subset, member: bool) -> list[Example]:
    """One photo of each of the first people."""
    found = []
    for row in operating.one_each(source.identities)[:_EACH].tolist():
        item = source[row]
        name = item["key"].replace("/", "-") + ".jpg"
        found.append(Example(name, images.encode_jpeg(item["image"], _QUALITY), member))
    return found
