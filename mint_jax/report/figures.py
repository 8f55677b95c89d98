"""Which plots the page shows, and the words that stand in for them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from mint_jax.evidence import metrics
from mint_jax.report import grid, plots, words
from mint_jax.report.grid import Key

_SHOWN = {"table1": "all_conv", "table2": "conv1", "neighbour": "", "fusion": ""}


@dataclass(frozen=True)
class Figure:
    """An SVG element with its caption."""

    svg: str
    caption: str


def representatives(tables: Mapping, protocol: str) -> Iterator[Key]:
    """One auditor a kind, chosen before anything was measured: not the best on the test set."""
    for kind, preferred in _SHOWN.items():
        layers = grid.layers(tables, protocol, kind) if preferred else [""]
        key = Key(protocol, kind, preferred if preferred in layers else layers[0] if layers else "")
        if grid.cells(tables, key):
            yield key


def name(key: Key) -> str:
    """`Vanilla, all conv layers` or `Random network: CNN, Conv #1`."""
    text = words.auditor(key.kind, key.layer)
    return f"{control(key)}: {text}" if key.control else text


def control(key: Key) -> str:
    """`Random network`."""
    return key.control.replace("_", " ").capitalize()


def roc(tables: Mapping, scores: Mapping) -> list[Figure]:
    """One plot a protocol, the random network dashed; none where `rivals` shows it with more."""
    found = []
    for protocol in words.PROTOCOLS:
        if _at(protocol, "chosen") in scores:
            continue
        keys = list(representatives(tables, protocol))
        keys += [Key(k.protocol, k.kind, k.layer, "random_network") for k in keys]
        keys.append(Key(protocol, "pixels"))
        drawn = [(key, *pair) for key in keys if (pair := _scores(tables, scores, key))]
        if not drawn:
            continue
        curves = [
            plots.Curve(_short(key), s["labels"], s["scores"], _blind(key)) for key, _, s in drawn
        ]
        reading = "; ".join(f"{name(k)} {words.figure(c, 'auc')}" for k, c, _ in drawn)
        title = f"{words.PROTOCOLS[protocol]} protocol{_none_known(tables)}"
        svg = plots.roc(curves, f"ROC curves, logarithmic axes. {title}. AUC: {reading}.")
        found.append(Figure(svg, f"{title}, {_n(drawn[0][1])}. AUC: {reading}."))
    return found


def rivals(tables: Mapping, scores: Mapping, protocol: str) -> Figure | None:
    """The auditor that decides and its controls, dashed; None where no scores are at hand."""
    block = grid.evidence(tables, protocol)
    named = {"chosen": "the auditor that decides"}
    named |= {row["name"]: row["name"].replace("_", " ") for row in block.get("controls") or ()}
    known = {name: found for name in named if (found := scores.get(_at(protocol, name)))}
    if "chosen" not in known:
        return None
    curves = [
        plots.Curve(named[name], found["labels"], found["scores"], name != "chosen")
        for name, found in known.items()
    ]
    labels = np.asarray(known["chosen"]["labels"])
    reading = "; ".join(
        f"{curve.name} {words.rate(_auc(found))}" for curve, found in zip(curves, known.values())
    )
    title = (
        f"{words.PROTOCOLS[protocol]} protocol, {words.count(int(labels.sum()))} members and "
        f"{words.count(int(np.sum(labels == 0)))} non-members"
    )
    svg = plots.roc(curves, f"ROC curves, logarithmic axes. {title}. AUC: {reading}.")
    return Figure(svg, f"{title}. AUC of the curves drawn, the first replicate each: {reading}.")


def tippett(block: Mapping | None) -> Figure | None:
    """How many images reach each likelihood ratio; of the `likelihood` block."""
    if not block:
        return None
    members, others = (np.asarray(block["tippett"][k]) for k in ("members", "non_members"))
    misleading = [words.percent(float(x)) for x in (np.mean(members < 0), np.mean(others > 0))]
    reading = (
        f"{misleading[0]} of {words.count(len(members))} images that were used read below 0, and "
        f"{misleading[1]} of {words.count(len(others))} that were not read above it"
    )
    svg = plots.tippett(members, others, f"Tippett plot of log10 likelihood ratios. {reading}.")
    return Figure(
        svg, f"Share of images whose log10 likelihood ratio is at least so large. {reading}."
    )


def _at(protocol: str, name: str) -> str:
    return f"{protocol}/evidence/{name}"


def _auc(found: Mapping) -> float:
    labels, values = np.asarray(found["labels"]), np.asarray(found["scores"])
    return metrics.auc(values[labels == 1], values[labels == 0])


def histograms(tables: Mapping, scores: Mapping) -> list[tuple[str, list[Figure]]]:
    """Per auditor: the matched scores, the cross-database scores and a random network's."""
    keys = {key.kind: key for p in words.PROTOCOLS for key in representatives(tables, p)}
    found = []
    for key in keys.values():
        places = [
            Key("matched", key.kind, key.layer),
            Key("cross_database", key.kind, key.layer),
            Key("cross_database", key.kind, key.layer, "random_network"),
        ]
        row = [f for place in places if (f := _histogram(tables, scores, place))]
        if row:
            found.append((name(places[0]), row))
    return found


def _histogram(tables: Mapping, scores: Mapping, key: Key) -> Figure | None:
    pair = _scores(tables, scores, key)
    if not pair:
        return None
    cell, score = pair
    labels, values = np.asarray(score["labels"]), np.asarray(score["scores"])
    title = words.PROTOCOLS[key.protocol] + (f", {control(key).lower()}" if key.control else "")
    means = [words.rate(float(values[labels == label].mean()), 2) for label in (1, 0)]
    svg = plots.histogram(
        labels,
        values,
        f"Histogram of the scores of {name(key)}, {title.lower()}: members have mean {means[0]}, "
        f"non-members {means[1]}.",
    )
    none = _none_known(tables)
    return Figure(svg, f"{title}: AUC {words.figure(cell, 'auc')}, {_n(cell)}{none}.")


def sizes(tables: Mapping) -> list[Figure]:
    """Accuracy over training samples: one plot a protocol and table, controls dashed."""
    return [
        figure
        for kind in ("table1", "table2")
        for protocol in words.PROTOCOLS
        if (figure := _sizes(tables, protocol, kind))
    ]


def _sizes(tables: Mapping, protocol: str, kind: str) -> Figure | None:
    keys = [Key(protocol, kind, layer) for layer in grid.layers(tables, protocol, kind)]
    if not keys:
        return None
    first = keys[0]
    keys += [Key(protocol, name) for name in grid.BANKS if kind == "table1"]
    keys += [
        Key(protocol, "pixels"),
        Key(protocol, kind, first.layer, "random_network"),
        *([Key("matched", kind, first.layer)] if protocol != "matched" else []),
    ]
    lines = []
    for key in keys:
        cells = sorted(grid.cells(tables, key).items(), key=lambda item: int(item[0]))
        if cells:
            blind = _blind(key) or key.protocol != protocol
            lines.append(
                plots.Line(
                    _label(key, protocol),
                    [int(size) for size, _ in cells],
                    [cell["accuracy"] for _, cell in cells],
                    [cell["accuracy_ci95"] for _, cell in cells],
                    blind,
                )
            )
    title = f"{words.AUDITORS[kind]}, {words.PROTOCOLS[protocol].lower()} protocol"
    reading = "; ".join(f"{line.name} {words.rate(line.values[-1])}" for line in lines)
    svg = plots.sizes(lines, f"Accuracy over training samples. {title}. At the largest: {reading}.")
    n = _n(grid.largest(grid.cells(tables, first)))
    return Figure(
        svg, f"{title}{_none_known(tables)}; {n}, bars are 95% intervals, given this model."
    )


def _blind(key: Key) -> bool:
    return bool(key.control) or key.kind == "pixels"


def _none_known(tables: Mapping) -> str:
    return "" if tables["protocols"].get("matched") else "; matched: none known"


def _label(key: Key, protocol: str) -> str:
    label = words.layer(key.layer) if key.layer else words.AUDITORS[key.kind]
    if key.control:
        return f"{control(key)}, {label}"
    return label if key.protocol == protocol else f"Matched, {label}"


def _short(key: Key) -> str:
    auditor = words.AUDITORS[key.kind]
    return f"{auditor}, {control(key).lower()}" if key.control else auditor


def _scores(tables: Mapping, scores: Mapping, key: Key) -> tuple[dict, Mapping] | None:
    """Cell and scores of the largest size that has both."""
    cells = grid.cells(tables, key)
    both = [size for size in cells if key.at(size) in scores]
    if not both:
        return None
    size = max(both, key=int)
    return cells[size], scores[key.at(size)]


def _n(cell: dict) -> str:
    return f"n = {words.count(cell['n_test'])}"
