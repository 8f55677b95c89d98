"""Plain sentences of what follows from the numbers and what does not, computed from them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import comb
from statistics import NormalDist

from mint_jax.report import grid, words
from mint_jax.report.grid import Key

_CHANCE = "cannot tell members from non-members of the same database"


@dataclass(frozen=True)
class Finding:
    """What follows (`lead`), out of what (`text`); a "warning" where a control speaks against."""

    lead: str
    text: str
    weight: str = "result"


def missing(tables: Mapping, protocol: str) -> str:
    """Why a protocol has no figures."""
    if protocol == "cross_database":
        return "it was not run, because no images of other databases were given."
    return tables.get("matched_reason") or (
        "nobody here knows images of the members' own database that were kept out of training, "
        "and without them no figure can tell membership from the database."
    )


def headlines(tables: Mapping) -> list[Finding]:
    """The sentences that a reader needs who reads nothing else."""
    found = []
    if tables["protocols"].get("matched"):
        found += [f for kind in ("table1", "table2") for f in _matched(tables, kind)]
        decides, key = grid.evidence(tables, "matched").get("auditor") or {}, _with_banks(tables)
        if key and decides.get("kind") != key.kind:  # else the verdict says it, with its controls
            found.append(_known(tables, key))
    else:
        lead = "No matched split is known, so no figure here measures membership."
        found.append(Finding(lead, _sentence(missing(tables, "matched")), "warning"))
    return found + [f for kind in ("table1", "table2") for f in _cross(tables, kind)]


def follows(tables: Mapping) -> list[Finding]:
    """What else follows: accidents among many cells, shuffled labels, false members."""
    return [*_accidents(tables), *_shuffled(tables), *_false_members(tables)]


def limits(tables: Mapping) -> list[str]:
    """What does not follow."""
    found = []
    matched = [f for f in headlines(tables) if _CHANCE in f.lead]
    if matched:
        found.append(
            "That an auditor reads chance does not show that the network keeps nothing of its "
            "training images: a stronger auditor may find what these do not."
        )
    found.append(_single_photo(tables))
    found += _unsupported(tables)
    found.append(
        "The figures hold for this audited model and these databases. The paper's come from "
        "another model and other data, and neither confirm nor contradict them."
    )
    return found


def _best(tables: Mapping, protocol: str, kind: str, name: str) -> tuple[Key, str, dict] | None:
    """Key, size and cell of the layer that reads highest at the largest size."""
    found = []
    for layer in grid.layers(tables, protocol, kind):
        key = Key(protocol, kind, layer)
        cells = grid.cells(tables, key)
        if cells:
            size = max(cells, key=int)
            found.append((key, size, cells[size]))
    return max(found, key=lambda item: item[2][name], default=None)


def _matched(tables: Mapping, kind: str) -> Iterator[Finding]:
    best = _best(tables, "matched", kind, "auc")
    if not best:
        return
    key, size, cell = best
    many = len(grid.layers(tables, "matched", kind))
    yield Finding(
        f"The {words.AUDITORS[kind]} auditor {_strength(cell, many)}.",
        f"On the matched split it reads accuracy {words.figure(cell)} and AUC "
        f"{words.figure(cell, 'auc')} on {words.layer(key.layer)}"
        f"{f', the best of {many} layers' if many > 1 else ''} ({_n(cell)}; "
        f"{words.count(size)} training samples).",
    )


def _strength(cell: dict, many: int = 1) -> str:
    """What the AUC of a cell says that reads highest among `many`."""
    low, high = cell["auc_ci95"]
    if low <= 0.5 <= high:
        return _CHANCE
    normal = NormalDist()
    wider = normal.inv_cdf(1 - 0.025 / many) / normal.inv_cdf(0.975)  # Bonferroni
    if low > 0.5 >= cell["auc"] - wider * (cell["auc"] - low):
        return f"reads no more than the best of {many} may by accident"
    if high < 0.5:
        return "reads below chance, which no knowledge of membership explains"
    how = "weakly" if cell["auc"] < 0.6 else "moderately" if cell["auc"] < 0.8 else "well"
    return f"tells members from non-members of the same database, {how}"


def _with_banks(tables: Mapping) -> Key | None:
    """Whose matched cells stand for the auditors with banks: fusion's where there are some."""
    keys = [Key("matched", kind) for kind in grid.BANKS]
    return next((key for key in reversed(keys) if grid.cells(tables, key)), None)


def _known(tables: Mapping, key: Key) -> Finding:
    """What an auditor with banks reads on the matched split, beside a random network."""
    cell = grid.largest(grid.cells(tables, key))
    random = grid.beside_of(tables, key, "random_network")
    lead = f"The {words.AUDITORS[key.kind].lower()} auditor {_strength(cell)}."
    text = f"It reads AUC {words.figure(cell, 'auc')} on the matched split ({_n(cell)})"
    if not random:
        text += "; no random network was read for comparison."
        return Finding(lead, text, "warning")
    text += f" where a random network reads {words.figure(random, 'auc')}"
    if words.excludes_chance(random):
        text += ": an untrained network departs from chance as well, so it is not membership alone."
        return Finding(lead, text, "warning")
    if words.excludes_chance(cell) and cell["auc"] > 0.5:
        text += ": the difference was put there by training on the members"
    return Finding(lead, f"{text}.")


def _cross(tables: Mapping, kind: str) -> Iterator[Finding]:
    best = _best(tables, "cross_database", kind, "accuracy")
    if not best:
        return
    key, _, cell = best
    text = (
        f"Against images of other databases it reads accuracy {words.figure(cell)} on "
        f"{words.layer(key.layer)} ({_n(cell)}; matched: {_beside(tables, key)})."
    )
    random, pixels = (grid.beside_of(tables, key, c) for c in ("random_network", "pixels"))
    if random:
        text += (
            " A randomly initialised network, which has seen no image at all, gives "
            f"{words.figure(random)} under the same protocol"
        )
        text += f", and pixels alone give {words.figure(pixels)}." if pixels else "."
    elif pixels:
        text += f" Pixels alone, without any network, give {words.figure(pixels)}."
    else:
        text += " No blind control was read beside it."
    blind, known = [c for c in (random, pixels) if c], bool(tables["protocols"].get("matched"))
    lead = _explained(words.AUDITORS[kind], cell, blind, known)
    yield Finding(lead, text, "warning")


def _explained(auditor: str, cell: dict, blind: list[dict], matched_known: bool) -> str:
    """What the blind controls leave of a cross-database figure."""
    if not words.excludes_chance(cell, "accuracy"):
        return f"The {auditor} auditor does not even tell the databases apart."
    if not blind:
        return f"Nobody can say what the {auditor} auditor recognises between databases."
    strongest = max(blind, key=lambda c: c["accuracy"])
    if strongest["accuracy_ci95"][1] >= cell["accuracy_ci95"][0]:
        if matched_known:
            return (
                f"Between databases the {auditor} auditor recognises the database, not membership."
            )
        return (
            f"Between databases the {auditor} auditor cannot be told from the blind controls, "
            "which know nothing of membership."
        )
    if not words.excludes_chance(strongest, "accuracy"):
        return (
            f"Between databases the {auditor} auditor reads what the blind controls do not; "
            "whether it is membership only the matched split can say."
        )
    share = (strongest["accuracy"] - 0.5) / (cell["accuracy"] - 0.5)
    return (
        f"Between databases {words.percent(share)} of the {auditor} auditor's lead over chance "
        "needs no knowledge of membership."
    )


def _accidents(tables: Mapping) -> Iterator[Finding]:
    keys = [key for key in grid.keys(tables, "matched") if key.layer]
    cells = [cell for key in keys for cell in grid.cells(tables, key).values()]
    if not cells:
        return
    outside = sum(words.excludes_chance(cell) for cell in cells)
    yield Finding(
        f"{outside} of the {len(cells)} matched cells of Tables 1 and 2 lie off chance.",
        f"So many of their AUC intervals do not contain .500; where nothing is to be found, about "
        f"{0.05 * len(cells):.1f} would not by accident.",
    )


def _shuffled(tables: Mapping) -> Iterator[Finding]:
    keys = grid.keys(tables, "matched", "shuffled_labels")
    cells = [cell for key in keys for cell in grid.cells(tables, key).values()]
    if not cells:
        return
    aucs, outside = [c["auc"] for c in cells], sum(map(words.excludes_chance, cells))
    chance = sum(
        comb(len(cells), k) * 0.05**k * 0.95 ** (len(cells) - k)
        for k in range(outside, len(cells) + 1)
    )
    text = (
        f"Trained on shuffled labels, the auditors of the matched protocol read AUC "
        f"{words.rate(min(aucs))} to {words.rate(max(aucs))} ({_n(cells[0])}), and {outside} of "
        f"{len(cells)} 95% intervals exclude .500."
    )
    if chance < 0.01:
        lead = "Shuffled labels read more than accident explains: find out why before using this."
        yield Finding(lead, text, "warning")
    else:
        yield Finding("The job itself does not leak the labels.", text)


def _false_members(tables: Mapping) -> Iterator[Finding]:
    best = _best(tables, "cross_database", "table1", "accuracy")
    rate = best and grid.largest(grid.rates(tables, best[0]))
    if not rate:
        return
    if isinstance(rate, dict):
        share = f"{words.figure(rate, 'rate')} ({_n(rate)})"
    else:
        share = words.rate(rate)
    yield Finding(
        "People are called members who are not.",
        f"The cross-database auditor on {words.layer(best[0].layer)} says member to a share of "
        f"{share} of images of the members' own database that were never trained on (its "
        f"accuracy on the matched split: {_beside(tables, best[0])}).",
        "warning",
    )


def _beside(tables: Mapping, key: Key) -> str:
    matched = grid.beside_of(tables, key, "matched")
    return words.figure(matched) if isinstance(matched, dict) else matched or "not measured"


def _single_photo(tables: Mapping) -> str:
    key = _with_banks(tables)
    if key:
        name, best = words.AUDITORS[key.kind].lower(), grid.largest(grid.cells(tables, key))
    else:
        name, best = "best Vanilla", (_best(tables, "matched", "table1", "auc") or [None])[-1]
    text = "No verdict on a single photo follows"
    if grid.evidence(tables, "matched"):
        return (
            f"{text}: that takes a test of its own, calibrated on photos like it, which may end "
            "without a verdict."
        )
    tpr = best and best["tpr_at_fpr"]["0.01"]
    if tpr is None:
        return f"{text}: no rate of hits at few false alarms is supported here."
    bounds = (best.get("tpr_at_fpr_ci95") or {}).get("0.01")
    return (
        f"{text}: at one false alarm in a hundred non-members the {name} auditor finds a share of "
        f"{words.rate(tpr)}{f' {words.interval(bounds)}' if bounds else ''} of the members "
        f"({_n(best)})."
    )


def _unsupported(tables: Mapping) -> Iterator[str]:
    """The operating points that are left out, and why."""
    keys = [key for protocol in words.PROTOCOLS for key in grid.keys(tables, protocol)]
    cells = [cell for key in keys for cell in grid.cells(tables, key).values()]
    for fpr in ("0.01", "0.001"):
        short = [c["n_test"] for c in cells if c["tpr_at_fpr"].get(fpr) is None]
        if short:
            yield (
                f"The TPR at {100 * float(fpr):g}% FPR is not given"
                f"{'' if len(short) == len(cells) else ' for some cells'}: it takes 10 / FPR = "
                f"{words.count(10 / float(fpr))} non-members, so that ten false alarms stand "
                f"behind it, and a test set of {words.count(max(short))} images has fewer."
            )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _n(cell: dict) -> str:
    return f"n = {words.count(cell['n_test'])}"
