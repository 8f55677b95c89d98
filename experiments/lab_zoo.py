"""Published networks as references of a lab of photos.

Reference models of the lab's own cost a training each; a network that somebody published costs a
pass over the photos. The audited model's auditor is fitted once more on what such a network says,
told the same members: its score is how much a photo looks like those rather than like the others to
a network that did not train on them. That alone must read chance, and is reported as a control; as
a covariate it takes out of the audited model's score what photos have in common in any network.
The thought is that of difficulty calibration: Watson et al., arXiv 2111.08440, section 3.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from experiments import lab_auditors
from experiments.lab_pairs import Models, Reading
from mint_jax import audited
from mint_jax.errors import InputError


def read(
    networks: Mapping[str, audited.AuditedModel], models: Models
) -> list[Mapping[str, np.ndarray]]:
    """AAD of all photos of a lab under each network; what was read before is not read again.

    Args:
      networks: {file: network}.
      models: of the lab, trained.

    Raises:
      InputError: a network that is an audited model of the lab.
    """
    own = {models.sha256(i): i for i in models.audited}
    for file, network in networks.items():
        if network.sha256 in own:
            raise InputError(
                f"{file}: this is model {own[network.sha256]} of the lab, which is audited; a "
                "reference never saw its members"
            )
    return [models.read_by(network) for network in networks.values()]


def conditional_scores(
    spec: Mapping, reading: Reading, outside: Sequence[Mapping[str, np.ndarray]], seed: int
) -> tuple[np.ndarray, dict[int, tuple[np.ndarray, float]]]:
    """What an auditor finds in networks alone, and what in the audited model beyond them.

    In each fold all auditors, those of the networks too, know the same people, and the regression
    is fitted on the non-members among those. Nothing that is asked about enters it.

    Args:
      spec: of a fused auditor; of a network it reads the layers and views that were read.
      reading: of the audited model.
      outside: AAD of R networks that did not train on the photos, from `read`.
      seed: of the folds.

    Returns:
      scores (R, n) under the networks alone, and {count: (residuals (n,) of the audited model's
      score given those of the first `count` networks, R^2 as the mean over the folds)}.
    """
    n = len(reading.members)
    readings = [reading, *(dataclasses.replace(reading, aad=aad) for aad in outside)]
    alone = np.empty((len(outside), n))
    beyond = lab_auditors.Beyond(reading, range(1, len(outside) + 1))
    first, second = lab_auditors.cut(reading, lab_auditors.FOLDS, seed)
    for known, asked in ((first, second), (second, first)):
        fits = [lab_auditors.fit(_readable(spec, x.aad), x, known, seed) for x in readings]
        own, *theirs = (score(np.arange(n)) for score in fits)
        references = np.stack(theirs, axis=1)
        alone[:, asked] = references[asked].T
        beyond.add(own, references, known, asked)
    return alone, beyond.found()


def _readable(spec: Mapping, aad: Mapping) -> dict:
    """The auditor less the layers and views that these AAD lack."""
    parts = []
    for part in spec["parts"]:
        layer, views = part.get("layer", "outcome"), part.get("views", ())
        views = [view for view in views if f"{layer}@{view}" in aad]
        if layer in aad and (views or part["kind"] != "consistency"):
            parts.append({**part, "views": views})
    return {**spec, "parts": parts}
