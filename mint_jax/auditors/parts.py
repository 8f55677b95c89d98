"""Parts of a fused auditor: each turns AAD into a few features, and all are of one shape.

A part has the `layers` that it reads; `fit(aad, labels, prototypes)` gives its variables, and
`features(variables, aad, people)`, pure and jittable, what a regression then weighs. `people` are
numbers of people, of the "queries" and of each bank by its name: at fitting the known images are
queries and bank at once, and none is compared to images of its own person. At scoring, where the
queried people are in no bank, it is None. `access` says what an auditor must have been given, and
`templates` whether the variables hold embeddings of people.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from mint_jax.aad.views import with_views
from mint_jax.auditors.cosines import cosine_statistics, unit
from mint_jax.errors import InputError

_OUTCOME = "outcome"


@dataclass(frozen=True)
class Neighbours:
    """Cosines to banks of known members and known non-members, see `auditors.neighbour`.

    What is compared is the direction of the mean over the views of unit embeddings.

    Attributes:
      layer: the layer that is compared; of maps the spatial maxima.
      views: beside the photo itself, see `aad.views`.
      top: for each k, the mean of the k largest cosines is a feature; 1 for the maximum.
      centred: whether the mean over the known images is subtracted first. Maxima have a large one,
        before which their directions hardly differ. It is that of members and non-members
        together, which tells nothing of who is which.
    """

    layer: str = _OUTCOME
    views: tuple[str, ...] = ()
    top: tuple[int, ...] = (1, 5, 20)
    centred: bool = False

    kind: ClassVar[str] = "neighbours"
    access: ClassVar[str] = "known members"
    templates: ClassVar[bool] = True

    def __post_init__(self):
        object.__setattr__(self, "views", tuple(self.views))
        object.__setattr__(self, "top", tuple(self.top))

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the AAD that it reads."""
        return with_views(self.layer, self.views)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns of `features`."""
        each = (*(f"top{k}" for k in self.top), "mean", "std")
        banks = ("members", "non_members")
        return tuple(f"{self.layer}_{bank}_{name}" for bank in banks for name in each)

    def fit(self, aad: Mapping, labels: np.ndarray, prototypes: np.ndarray | None) -> dict:
        """Both banks, (a, D) and (b, D) of unit length, and the centre (D,) where there is one."""
        centre = {}
        if self.centred:
            means = [np.mean(aad[name], axis=0, dtype=np.float64) for name in self.layers]
            centre["centre"] = np.mean(means, axis=0).astype(np.float32)
        directions = np.asarray(self.directions(centre, aad))
        return {"members": directions[labels == 1], "non_members": directions[labels == 0]} | centre

    def features(self, variables: Mapping, aad: Mapping, people: Mapping | None) -> jax.Array:
        """(B, F) float32 of AAD {layer: (B, D)}."""
        queries, found = self.directions(variables, aad), []
        for bank in ("members", "non_members"):
            same = None if people is None else (people["queries"], people[bank])
            tops = max(self.top)
            largest, mean, deviation = cosine_statistics(queries, variables[bank], tops, same)
            found += [*(_mean_of_largest(largest, k) for k in self.top), mean, deviation]
        return jnp.stack(found, axis=-1)

    def directions(self, variables: Mapping, aad: Mapping) -> jax.Array:
        """(B, D) of unit length, those that are compared."""
        centre = variables.get("centre", 0)
        return unit(sum(unit(jnp.asarray(aad[name]) - centre) for name in self.layers))


@dataclass(frozen=True)
class Consistency:
    """How alike the views of a photo are; networks answer alike to views they were trained with.

    Source: Choquette-Choo et al., arXiv 2007.14321, who compare labels, not embeddings.

    Attributes:
      layer: the layer whose views are compared; of maps the spatial maxima.
      views: at least one, see `aad.views`.
    """

    layer: str
    views: tuple[str, ...]

    kind: ClassVar[str] = "consistency"
    access: ClassVar[str] = "embedding"
    templates: ClassVar[bool] = False

    def __post_init__(self):
        object.__setattr__(self, "views", tuple(self.views))
        if not self.views:
            raise InputError(f"the consistency of {self.layer} takes at least one view")

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the AAD that it reads."""
        return with_views(self.layer, self.views)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns of `features`."""
        names = ["mean"]
        if self.layer == _OUTCOME:
            names += ["min", "norm"] + ["flip"] * ("flip" in self.views)
        return tuple(f"{self.layer}_consistency_{name}" for name in names)

    def fit(self, aad: Mapping, labels: np.ndarray, prototypes: np.ndarray | None) -> dict:
        """Nothing is kept."""
        return {}

    def features(self, variables: Mapping, aad: Mapping, people: Mapping | None) -> jax.Array:
        """(B, F) float32 of AAD {layer: (B, D)}.

        The mean cosine of the views to the direction of their mean; of the outcome the smallest as
        well, the length of the mean embedding, and the cosine of the photo to its mirror image.
        """
        views = jnp.stack([jnp.asarray(aad[name]) for name in self.layers])
        directions = unit(views)
        cosines = jnp.sum(directions * unit(directions.mean(axis=0)), axis=-1)
        found = [cosines.mean(axis=0)]
        if self.layer == _OUTCOME:
            found += [cosines.min(axis=0), jnp.linalg.norm(views.mean(axis=0), axis=-1)]
            if "flip" in self.views:
                mirrored = directions[1 + self.views.index("flip")]
                found.append(jnp.sum(directions[0] * mirrored, axis=-1))
        return jnp.stack(found, axis=-1)


@dataclass(frozen=True)
class Prototypes:
    """Cosines of the embedding to prototypes of other classes, those of the head or estimates.

    Training pushed a member from the prototypes that it was near, and they remember it. An own
    prototype says more by far, and something else: it must not be among those that a query is
    compared to.

    Attributes:
      top: for each k, the mean of the k largest cosines is a feature; 1 for the maximum.
    """

    top: tuple[int, ...] = (1, 5, 20)

    kind: ClassVar[str] = "prototypes"
    access: ClassVar[str] = "head"
    templates: ClassVar[bool] = True
    layers: ClassVar[tuple[str, ...]] = (_OUTCOME,)

    def __post_init__(self):
        object.__setattr__(self, "top", tuple(self.top))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns of `features`."""
        return tuple(f"prototypes_top{k}" for k in self.top)

    def fit(self, aad: Mapping, labels: np.ndarray, prototypes: np.ndarray | None) -> dict:
        """The prototypes (c, D), of unit length.

        Raises:
          InputError: there are none, or of other dimensions than the embeddings.
        """
        shape, wanted = np.shape(prototypes), aad[_OUTCOME].shape[1:]
        if prototypes is None or shape[1:] != wanted:
            raise InputError(f"prototypes are {shape}; embeddings of {wanted} take (classes, D)")
        return {"prototypes": np.asarray(unit(jnp.asarray(prototypes, jnp.float32)))}

    def features(self, variables: Mapping, aad: Mapping, people: Mapping | None) -> jax.Array:
        """(B, F) float32 of AAD {layer: (B, D)}."""
        queries, centres = unit(jnp.asarray(aad[_OUTCOME])), variables["prototypes"]
        same = None if people is None else (people["queries"], people["prototypes"])
        largest = cosine_statistics(queries, centres, max(self.top), same)[0]
        return jnp.stack([_mean_of_largest(largest, k) for k in self.top], axis=-1)


Part = Neighbours | Consistency | Prototypes
_KINDS = {part.kind: part for part in (Neighbours, Consistency, Prototypes)}


def to_json(part: Part) -> dict:
    """What `from_json` makes the part of again."""
    return {"kind": part.kind, **asdict(part)}


def from_json(options: Mapping[str, Any]) -> Part:
    """A part out of {"kind": ..., and its attributes}.

    Raises:
      InputError: no such kind, or it has other attributes.
    """
    options = dict(options)
    kind = options.pop("kind", None)
    if kind not in _KINDS:
        raise InputError(f"a part of kind {kind!r}; there are {', '.join(_KINDS)}")
    try:
        return _KINDS[kind](**options)
    except TypeError as error:
        raise InputError(f"a part of kind {kind!r}: {error}") from None


def _mean_of_largest(largest: jax.Array, k: int) -> jax.Array:
    """(B,) of the k largest cosines out of (B, K) in descending order, or of as many as exist."""
    first = largest[:, :k]
    exists = first > -jnp.inf
    return jnp.where(exists, first, 0).sum(axis=-1) / exists.sum(axis=-1)
