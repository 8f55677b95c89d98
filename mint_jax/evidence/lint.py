"""What is wrong with an audit before anybody reads its figures.

The rules ask that parts are disjoint, that nothing is tuned on test data, and that members differ
from non-members in nothing but membership, which published tests often fail (Das et al.,
arXiv 2406.16201). The input is plain data, so that somebody else's audit can be examined as well.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mint_jax.errors import InputError
from mint_jax.evidence import metrics, operating

ERROR, WARNING = "error", "warning"
_FITTED = {"bank", "train", "validation"}  # parts that an auditor is made of
_COUNTED = {"threshold", "calibration", "test"}  # parts whose non-members bear an error rate
_UNUSED = "unused"
_FEW = 3  # pairs of parts that a finding names

_Place = tuple[str, str]  # population and part


@dataclass(frozen=True)
class Finding:
    """A rule that is broken.

    Attributes:
      code: name of the rule, such as "test_in_training".
      severity: "error" where the figures mean nothing, "warning" where they mean less.
      text: what it is about, in words.
    """

    code: str
    severity: str
    text: str


_OVERLAPS = {
    "test_in_training": "Test images helped to make the auditor",
    "threshold_on_test": "Thresholds are tuned on test data",
    "image_on_both_sides": "An image counts as a member and as a non-member",
    "shared_images": "Parts are not disjoint",
    "identity_on_both_sides": "A person is among the members and among the non-members",
    "identity_in_bank": "A person in a bank is among the queries, which is face recognition",
    "identity_in_parts": "A person is in several parts",
}


def lint(description: Mapping[str, Any]) -> list[Finding]:
    """Examines one protocol of an audit.

    Args:
      description: JSON values or arrays; all but "parts" may be absent:
        "parts": {population: {part: {"keys": n names, "identities": n numbers or names, "sha256": n
          hashes, "groups": n names of groups of near-duplicates}}}; hashes and groups may be None.
          The populations are "members", "unused" (other photos of the members) and those of
          non-members. Names of images and people hold over all populations.
        "labels": {population: 1 or 0}.
        "matched": whether there are non-members of the members' own collection.
        "scores": {population: {part: (n,)}} of the auditor that decides.
        "thresholds": {"0.01": threshold or None}, as they were recorded.
        "claimed_fprs": the false-alarm rates that something is claimed at.
        "audited_sha256", "screen_sha256": of the audited network, and of the network that looked
          for near-duplicates.
        "preparation": {database: {"alignment": words, "encoding": words, ...}}.

    Returns:
      The findings, errors first; none where no rule is broken.

    Raises:
      InputError: no parts, or columns of a part that are not of one length.
    """
    _check(description)
    rules = (_overlaps, _labels, _thresholds, _polarity, _counts, _matched, _screen, _preparation)
    found = itertools.chain.from_iterable(rule(description) for rule in rules)
    return sorted(found, key=lambda finding: finding.severity != ERROR)


def _check(description: Mapping[str, Any]) -> None:
    try:
        places = _parts(description)
        lengths = {
            place: {k: len(part[k]) for k in part if part[k] is not None}
            for place, part in places.items()
        }
        odd = [p for p, n in lengths.items() if len({n["keys"], n["identities"], *n.values()}) > 1]
    except (KeyError, TypeError, AttributeError):
        raise InputError("description of an audit: no parts with keys and identities") from None
    for place in odd:
        raise InputError(f"description of an audit: {_named(place)}: {lengths[place]} entries")


def _parts(description: Mapping[str, Any]) -> dict[_Place, Mapping[str, Any]]:
    return {(p, n): part for p, parts in description["parts"].items() for n, part in parts.items()}


def _others(description: Mapping[str, Any]) -> list[str]:
    """Names of the populations of non-members."""
    return [p for p in description["parts"] if p not in ("members", _UNUSED)]


def _overlaps(description: Mapping[str, Any]) -> Iterator[Finding]:
    """One finding for each rule and kind of overlap, with the pairs of parts that break it."""
    for what, columns in (
        ("images", ("keys", "sha256")),
        ("near-duplicates", ("groups",)),
        ("people", ("identities",)),
    ):
        broken: dict[tuple[str, str], list[str]] = {}
        names = {place: _names(part, columns) for place, part in _parts(description).items()}
        for a, b in itertools.combinations(names, 2):
            shared = max(len(x & y) for x, y in zip(names[a], names[b]))
            rule = _rule(a, b, what) if shared else None
            if rule:
                broken.setdefault(rule, []).append(f"{_named(a)} and {_named(b)} ({shared:,})")
        for (code, severity), pairs in broken.items():
            yield Finding(code, severity, f"{_OVERLAPS[code]}: {what} of {_listed(pairs)}.")


def _names(part: Mapping[str, Any], columns: Sequence[str]) -> list[set]:
    found = (part.get(column) for column in columns)
    return [
        set() if values is None else set(np.asarray(values, object).tolist()) - {None}
        for values in found
    ]


def _rule(a: _Place, b: _Place, what: str) -> tuple[str, str] | None:
    """The rule that two parts break which share something, and how serious that is."""
    parts = {a[1], b[1]}
    if what == "people":
        return _people_rule(a, b, parts)
    if "test" in parts and parts & _FITTED:
        return "test_in_training", ERROR
    if parts == {"threshold", "test"}:
        return "threshold_on_test", ERROR
    if (a[0] == "members") != (b[0] == "members"):
        return "image_on_both_sides", ERROR
    return "shared_images", WARNING if what == "near-duplicates" else ERROR


def _people_rule(a: _Place, b: _Place, parts: set[str]) -> tuple[str, str] | None:
    own = {"members", _UNUSED}
    if (a[0] in own) != (b[0] in own):
        return "identity_on_both_sides", ERROR
    if len(parts) == 1:
        return None
    if "bank" in parts:
        return "identity_in_bank", ERROR
    if parts == {"threshold", "test"}:
        return "threshold_on_test", ERROR
    return "identity_in_parts", WARNING


def _labels(description: Mapping[str, Any]) -> Iterator[Finding]:
    for population, label in description.get("labels", {}).items():
        right = int(population == "members")
        if label != right:
            text = f"{_words(population)} have the label {label}; 1 is a member, 0 is none."
            yield Finding("label_polarity", ERROR, text)


def _thresholds(description: Mapping[str, Any]) -> Iterator[Finding]:
    """Recorded thresholds that the scores of the threshold part do not give."""
    scores = _side_scores(description, _others(description), "threshold")
    if scores is None:
        return
    for fpr, recorded in description.get("thresholds", {}).items():
        frozen = operating.freeze(scores, float(fpr))
        if recorded is not None and (frozen is None or not np.isclose(recorded, frozen, rtol=1e-9)):
            text = (
                f"The threshold at {float(fpr):.4g} is recorded as {recorded:.6g}; the threshold "
                f"part's scores give {'none' if frozen is None else f'{frozen:.6g}'}."
            )
            yield Finding("threshold_not_frozen", ERROR, text)


def _polarity(description: Mapping[str, Any]) -> Iterator[Finding]:
    """Members who score less than non-members, beyond chance."""
    others = [p for p in _others(description) if "test" in description["parts"][p]]
    sides = [_side_scores(description, side, "test") for side in (["members"], others)]
    if any(scores is None for scores in sides):
        return
    labels = np.repeat([1, 0], [len(scores) for scores in sides])
    people = [description["parts"][p]["test"]["identities"] for p in ("members", *others)]
    names = np.concatenate([np.asarray(p, object) for p in people]).astype(str)
    low, high = metrics.evaluate(labels, np.concatenate(sides), names)["auc_ci95"]
    if high < 0.5:
        text = f"Members score less than non-members: AUC [{low:.3f}, {high:.3f}]; labels or scores"
        yield Finding("label_polarity", ERROR, f"{text} are turned round.")


def _side_scores(
    description: Mapping[str, Any], populations: Sequence[str], part: str
) -> np.ndarray | None:
    known = description.get("scores", {})
    found = [known[p][part] for p in populations if part in known.get(p, {})]
    return np.concatenate(found) if found else None


def _counts(description: Mapping[str, Any]) -> Iterator[Finding]:
    """Fewer non-members than a claimed rate needs; nothing is asked of a part that is not there."""
    others = [description["parts"][p] for p in _others(description)]
    for part in sorted(_COUNTED & {name for parts in others for name in parts}):
        count = sum(len(parts[part]["keys"]) for parts in others if part in parts)
        for fpr in description.get("claimed_fprs", ()):
            if not operating.supported(count, fpr):
                needed = operating.MIN_FALSE_ALARMS / fpr
                text = (
                    f"A false-alarm rate of {100 * fpr:g}% takes {needed:,.0f} non-members in the "
                    f"{part} part; there are {count:,}."
                )
                yield Finding("too_few_images", ERROR, text)


def _matched(description: Mapping[str, Any]) -> Iterator[Finding]:
    if not description.get("matched", True):
        text = "No non-members are of the members' own collection: membership cannot be told from"
        yield Finding("no_matched_non_members", WARNING, f"{text} the collection.")


def _screen(description: Mapping[str, Any]) -> Iterator[Finding]:
    screen = description.get("screen_sha256")
    if screen is not None and screen == description.get("audited_sha256"):
        text = "The audited network itself looked for near-duplicates: it drops images by whether"
        yield Finding("screened_by_audited", ERROR, f"{text} they are members.")


def _preparation(description: Mapping[str, Any]) -> Iterator[Finding]:
    """Databases that an auditor can tell apart by how their images were made."""
    databases = description.get("preparation", {})
    for step in sorted({step for about in databases.values() for step in about}):
        ways = {name: about.get(step) for name, about in databases.items()}
        if len(set(ways.values())) > 1:
            listed = "; ".join(f"{name}: {way or 'unknown'}" for name, way in ways.items())
            text = f"Databases differ in their {step}, which tells them apart ({listed})."
            yield Finding("unequal_preparation", WARNING, text)


def _words(population: str) -> str:
    return population.replace("_", "-")


def _named(place: _Place) -> str:
    return f"{_words(place[0])} ({place[1]})"


def _listed(pairs: Sequence[str]) -> str:
    more = len(pairs) - _FEW
    return ", ".join(pairs[:_FEW]) + (f" and {more} further pairs" if more > 0 else "")
