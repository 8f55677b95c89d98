"""Auditors on models of the lab: fitted on people whose membership is known, asked about others.

People are cut in two folds, and the auditor of each is fitted on the people of the other one, so
that every photo is scored once, by an auditor that knew half of the members. An auditor is given by
JSON: a title, a kind and its options; "views": "training" stands for what the audited model's own
training can show of a photo.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from scipy.special import logit

from data_pipelines import audit_set
from experiments.lab_pairs import Reading
from mint_jax import aad, auditors, baselines
from mint_jax.errors import InputError

FOLDS = 0.5  # share of the people that an auditor knows when every photo is scored once
_BANK = {"bank": 0.6, "train": 0.4}  # of the known people of a neighbour auditor
_WATCHED = {"train": 0.8, "validation": 0.2}  # of those of an auditor that stops early
_QUANTILE = {"level": 0.9, "l1": 0.01}  # as in the audit
_SMALLEST = 1e-7  # of p and 1 - p, which float32 rounds to 0 or 1

Scorer = Callable[[np.ndarray], np.ndarray]  # rows (k,) to logits (k,)


def resolve(
    specs: Mapping[str, Mapping], views: Sequence[str], classes_are_people: bool
) -> dict[str, dict]:
    """The auditors that a recipe permits.

    Args:
      specs: {auditor: JSON}.
      views: of a photo in training, but itself. Where there are none, parts that compare views are
        left out, and auditors that are then no others than earlier ones.
      classes_are_people: whether the head's prototypes stand for people; where they do not,
        auditors that look at other people's prototypes are left out.
    """
    found, seen = {}, []
    for name, spec in specs.items():
        spec = dict(spec)
        if "prototypes" in spec and not classes_are_people:
            continue
        if "parts" in spec:
            parts = (part for part in spec["parts"] if views or part["kind"] != "consistency")
            spec["parts"] = [_resolved(part, views) for part in parts]
        options = {key: value for key, value in spec.items() if key != "title"}
        if spec.get("parts") != [] and options not in seen:
            seen.append(options)
            found[name] = spec
    return found


def _resolved(part: Mapping, views: Sequence[str]) -> dict:
    part = dict(part)
    if part.get("views") == "training":
        del part["views"]
        part |= {"views": list(views)} if views else {}
    return part


def access(spec: Mapping) -> str:
    """What an auditor is given beside the audited model."""
    heads = spec.get("prototypes") in ("all", "known")
    return "head and known members" if heads else "known members"


def cut(reading: Reading, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the people of whom it is known who was trained on, and rows of the others.

    People of whom photos were trained on and the others are cut apart from each other, so that
    every model's auditors know as many of each.
    """
    people = reading.identities[: len(reading.members)]
    trained = np.isin(people, people[reading.members])
    parts = {"known": share, "asked": 1 - share}
    found = {part: [] for part in parts}
    for side in (trained, ~trained):
        rows = np.flatnonzero(side)
        if len(rows):
            for part, places in audit_set.split(people[rows], parts, seed).items():
                found[part].append(rows[places])
    known, asked = (np.sort(np.concatenate(rows)) for rows in found.values())
    return known, asked


def cross_scores(fit: Callable[[np.ndarray], Scorer], reading: Reading, seed: int) -> np.ndarray:
    """Scores (n + m,) by auditors that know the other fold; of strangers the mean over both."""
    n = len(reading.members)
    strangers = np.arange(n, len(reading.identities))
    found, by_both = np.empty(len(reading.identities)), []
    for known, asked in _directions(reading, seed):
        score = fit(known)
        found[asked] = score(asked)
        by_both.append(score(strangers) if len(strangers) else np.empty(0))
    found[n:] = np.mean(by_both, axis=0)
    return found


def _directions(reading: Reading, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    first, second = cut(reading, FOLDS, seed)
    yield first, second
    yield second, first


def conditional_scores(
    fit: Callable[[np.ndarray], Scorer],
    reading: Reading,
    scores: np.ndarray,
    references: np.ndarray,
    counts: Sequence[int],
    seed: int,
) -> dict[int, tuple[np.ndarray, float]]:
    """What the audited model's scores say beyond those of reference models.

    The regression is fitted on the known non-members, whose scores are cross-fitted: the auditor of
    their fold leaves their own person out of its banks. Nothing that is asked about enters it.

    Args:
      fit: of a fused auditor.
      reading: of the audited model.
      scores: (n,) of `cross_scores`.
      references: (n, R) the same under models that did not see the photo.
      counts: how many of them are used.
      seed: of the folds.

    Returns:
      {count: (residuals (n,), R^2 as the mean over the folds)}.
    """
    beyond = Beyond(reading, counts)
    for known, asked in _directions(reading, seed):
        fold = scores.copy()
        fold[known] = fit(known)(known)
        beyond.add(fold, references, known, asked)
    return beyond.found()


class Beyond:
    """What scores say beyond those of references, one fold of the people after the other."""

    def __init__(self, reading: Reading, counts: Sequence[int]):
        """Of the audited model that is read, with so many of the references each."""
        self._members = reading.members
        self._found = {count: (np.empty(len(reading.members)), []) for count in counts}

    def add(
        self, scores: np.ndarray, references: np.ndarray, known: np.ndarray, asked: np.ndarray
    ) -> None:
        """Fits the regression on the known non-members and takes it out of who is asked about.

        Args:
          scores: (n,) of an auditor that knew the known.
          references: (n, R) likewise.
          known, asked: rows.
        """
        others = known[~self._members[known]]
        for count, (residuals, explained) in self._found.items():
            columns = references[:, :count]
            fitted = auditors.fit_conditional(scores, columns, others)
            residuals[asked] = fitted.residual(scores[asked], columns[asked])
            explained.append(fitted.r2)

    def found(self) -> dict[int, tuple[np.ndarray, float]]:
        """{count: (residuals (n,), R^2 as the mean over the folds)}."""
        return {count: (left, float(np.mean(r2))) for count, (left, r2) in self._found.items()}


def fit(spec: Mapping, reading: Reading, known: np.ndarray, seed: int) -> Scorer:
    """Fits an auditor.

    Args:
      spec: of `resolve`.
      reading: of the audited model.
      known: (k,) rows of people of whom it is known who was trained on.
      seed: of banks, validation parts and initial weights.

    Raises:
      InputError: an unknown kind, or options that the kind does not take.
    """
    if spec["kind"] not in _FITS:
        raise InputError(f"an auditor of kind {spec['kind']!r}; there are {', '.join(_FITS)}")
    predict = _FITS[spec["kind"]](spec, reading, known, seed)
    return lambda rows: logit(np.clip(predict(rows).astype(float), _SMALLEST, 1 - _SMALLEST))


def _vanilla(spec: Mapping, reading: Reading, known: np.ndarray, seed: int) -> Scorer:
    features = _layer(reading, spec["layer"])
    parts = audit_set.split(reading.identities[known], _WATCHED, seed).values()
    masks = [np.isin(np.arange(len(known)), rows)[None] for rows in parts]
    labels, module = reading.members[known].astype(int), auditors.Vanilla(spec["layer"])
    fitted = auditors.fit_population(module, features[known], labels, *masks, [seed])
    return lambda rows: fitted.predict(features[rows])[0]


def _layer(reading: Reading, layer: str) -> np.ndarray:
    if layer != aad.ALL_CONV:
        return reading.aad[layer]
    conv = [name for name in reading.aad if name.startswith("conv")]
    return np.concatenate([reading.aad[name] for name in conv], axis=1)


def _neighbour(spec: Mapping, reading: Reading, known: np.ndarray, seed: int) -> Scorer:
    embeddings, members = reading.aad["outcome"], reading.members
    parts = audit_set.split(reading.identities[known], _BANK, seed).values()
    bank, train = (known[rows] for rows in parts)
    fitted = auditors.fit_neighbours(
        embeddings[train],
        members[train].astype(int),
        embeddings[bank[members[bank]]],
        embeddings[bank[~members[bank]]],
        np.ones((1, len(train)), bool),
    )
    return lambda rows: fitted.predict(embeddings[rows])[0]


def _fusion(spec: Mapping, reading: Reading, known: np.ndarray, seed: int) -> Scorer:
    """Nothing in it is random. Of queried people no photo and no prototype is looked at."""
    config, people = auditors.FusionConfig(spec["parts"]), reading.identities
    fitted = auditors.fit_fusions(
        {name: reading.aad[name][known] for name in config.layers},
        reading.members[known].astype(int),
        people[known],
        np.ones((1, len(known)), bool),
        config,
        prototypes(spec["prototypes"], reading, known) if "prototypes" in spec else None,
    )

    def predict(rows: np.ndarray) -> np.ndarray:
        return fitted.predict({k: reading.aad[k][rows] for k in config.layers}, people[rows])[0]

    return predict


_FITS = {"vanilla": _vanilla, "neighbour": _neighbour, "fusion": _fusion}


def prototypes(which: str, reading: Reading, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Prototypes of people, and the people (c,).

    Args:
      which: "all" of the head, those of "known" members, or "estimated" from the known members'
        photos: the direction of the mean over photos and views.
      reading: of a model whose classes are people.
      known: rows of people of whom it is known who was trained on.

    Raises:
      InputError: another word.
    """
    rows = np.flatnonzero(reading.members)
    people = np.unique(reading.identities[rows])
    if which == "all":
        return reading.head, people
    rows = known[reading.members[known]]
    kept, person = np.unique(reading.identities[rows], return_inverse=True)
    if which == "known":
        return reading.head[np.isin(people, kept)], kept
    if which != "estimated":
        raise InputError(f'prototypes are {which!r}; they are "all", "known" or "estimated"')
    outcomes = [v for k, v in reading.aad.items() if k.split("@")[0] == "outcome"]
    sums = np.zeros((len(kept), outcomes[0].shape[1]))
    for values in outcomes:
        np.add.at(sums, person, _unit(values[rows]))
    return _unit(sums).astype(np.float32), kept


def estimate_cosines(reading: Reading, seed: int) -> np.ndarray:
    """Cosines (c,) of estimated to true prototypes, of the known members of both folds."""
    found = []
    for known, _ in _directions(reading, seed):
        true, estimated = (prototypes(k, reading, known)[0] for k in ("known", "estimated"))
        found.append(np.sum(_unit(true) * estimated, axis=1))
    return np.concatenate(found)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def quantile(reading: Reading, known: np.ndarray) -> Scorer:
    """Agreement with the mirror image above its quantile for such pixels among non-members."""
    flip, others = reading.scalars["flip"], known[~reading.members[known]]
    fitted = baselines.fit_quantile(reading.pixels[others], flip[others], **_QUANTILE)
    return lambda rows: fitted.excess(reading.pixels[rows], flip[rows])


def head_scores(reading: Reading, own_known: bool) -> dict[str, np.ndarray]:
    """Scores out of the head.

    Args:
      reading: of the audited model.
      own_known: whether the class of every photo is known, so that the own class may be read. A
        photo of a class that the head lacks was not trained on.

    Returns:
      {"nearest_centre": (n + m,), "foreign_centre": (n,) the negative cosine to the nearest centre
      but the own class's, from which training pushes a photo away, and with `own_known`
      "own_centre" and "own_margin": (n,)}.
    """
    embeddings, n = reading.aad["outcome"], len(reading.members)
    nearest = baselines.nearest_centre(embeddings, reading.head)
    classed = embeddings[:n], reading.head, np.maximum(reading.classes, 0)
    own, margin = baselines.own_centre(*classed), baselines.own_margin(*classed)
    has = reading.classes >= 0
    found = {"nearest_centre": nearest, "foreign_centre": -np.where(has, own - margin, nearest[:n])}
    if own_known:
        found |= {"own_centre": np.where(has, own, -1), "own_margin": np.where(has, margin, -2)}
    return found
