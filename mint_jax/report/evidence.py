"""The evidence of each protocol as page and console show it: verdicts first, controls beside them.

It is the block that `mint_jax.evidence.examination` leaves in `tables.json`; what it lacks is left
out. The order of the page is that of ENFSI's guideline for evaluative reporting (2015): both
hypotheses and how often the method errs before any figure that an expert has to explain.
"""

from collections.abc import Iterator, Mapping

from mint_jax.evidence import conformal, operating
from mint_jax.report import figures, grid, words
from mint_jax.report.findings import Finding

_OTHERS = {"matched": "non_members", "cross_database": "externals"}
_MAY_LACK = (
    *("auditor", "gate", "operating_points", "controls", "baselines", "splits", "left_out"),
    *("robustness", "support", "fairness", "fairness_tests", "likelihood", "people", "h0_image"),
    "lint",
)
_TARGET = 0.01  # the false-alarm rate of headlines, where a table does not say it
_HYPOTHESES = {
    "people": ("The person", conformal.H0_PERSON, "Images of this person were used for training."),
    "h0_image": ("The image", conformal.H0_IMAGE, "This image was used for training."),
}


def blocks(tables: Mapping) -> dict[str, dict]:
    """{protocol: its evidence} of those that have a headline; None for what a block lacks."""
    found = {protocol: grid.evidence(tables, protocol) for protocol in words.PROTOCOLS}
    return {
        protocol: {
            **dict.fromkeys(_MAY_LACK),
            "target_fpr": _TARGET,
            **{name: value for name, value in block.items() if value is not None},
        }
        for protocol, block in found.items()
        if block.get("headline")
    }


def verdicts(tables: Mapping) -> list[Finding]:
    """The headline of every audit with what it rests on, and the errors that lint found in it."""
    found = []
    for protocol, block in blocks(tables).items():
        title = words.PROTOCOLS[protocol]
        gate = block["gate"] or {}
        errors = [entry["text"] for entry in block["lint"] or () if entry["severity"] == "error"]
        where = f"{title} protocol{_decider(block)}; bounds are given this model."
        weight = "result" if gate.get("passed") and not errors else "warning"
        text = " ".join([where, *gate.get("reasons", ())])
        found.append(Finding(block["headline"], text, weight))
        lead = f"Error in the audit, {title.lower()} protocol."
        found += [Finding(lead, error, "warning") for error in errors]
    return found


def sections(tables: Mapping, scores: Mapping) -> list[dict]:
    """What the page shows of each protocol that has evidence.

    Args:
      tables: the content of `tables.json`.
      scores: {"matched/evidence/chosen": {"labels": (n,), "scores": (n,)}, ...} for the ROC curves.
    """
    return [
        {
            "name": f"evidence-{protocol}",
            "title": f"Evidence, {words.PROTOCOLS[protocol].lower()} protocol",
            "block": block,
            "chosen": chosen(block),
            "choice": _choice(block),
            "controls": controls(block),
            "points": list(_points(tables, protocol, block)),
            "roc": figures.rivals(tables, scores, protocol),
            "access": _by_access(block["baselines"] or ()),
            "tests": [test for name in _HYPOTHESES if (test := _test(name, block))],
            "tippett": figures.tippett(block["likelihood"]),
        }
        for protocol, block in blocks(tables).items()
    ]


def chosen(block: Mapping) -> dict:
    """The row of the auditor that decides, of the form of a control's, with intervals."""
    point = (block["operating_points"] or {}).get(str(block["target_fpr"])) or {}
    cell = (block["splits"] or {}).get("identity") or {}
    names = ("tpr", "tpr_ci95", "fpr", "fpr_ci95")
    return {name: point.get(name) for name in names} | {
        name: cell.get(name) for name in ("auc", "auc_ci95")
    }


def controls(block: Mapping) -> list[dict]:
    """The controls, the strongest marked: the one that finds most; by AUC where nothing else is."""
    rows = block["controls"] or []
    found = [row for row in rows if row["tpr"] is not None]
    strongest = max(found or rows, key=lambda row: row["tpr" if found else "auc"], default=None)
    against = (block["gate"] or {}).get("against")
    return [
        {**row, "strongest": row is strongest, "closest": row["name"] == against} for row in rows
    ]


def _decider(block: Mapping) -> str:
    auditor = block["auditor"]
    return f", auditor: {words.auditor(auditor['kind'], auditor['layer'])}" if auditor else ""


def _choice(block: Mapping) -> dict | None:
    """Which auditor was chosen, and out of what: [(name, AUC on validation data)], best first."""
    auditor = block["auditor"]
    if not auditor:
        return None
    ranked = sorted(auditor["validation_auc"].items(), key=lambda item: -item[1])
    return {
        "name": words.auditor(auditor["kind"], auditor["layer"]),
        "size": auditor["size"],
        "banks": auditor["kind"] in grid.BANKS,
        "auc": auditor["validation_auc"][f"{auditor['kind']}/{auditor['layer']}"],
        "ranked": [(words.auditor(*place.split("/")), auc) for place, auc in ranked],
        "cnn": any(place.startswith("cnn/") for place, _ in ranked),
    }


def _points(tables: Mapping, protocol: str, block: Mapping) -> Iterator[dict]:
    """The operating points, and why one is missing."""
    for fpr, point in (block["operating_points"] or {}).items():
        yield {
            "fpr": words.level(fpr),
            "point": point,
            "why": None if point else _unsupported(tables, protocol, float(fpr)),
        }


def _unsupported(tables: Mapping, protocol: str, fpr: float) -> str:
    text = (
        f"It takes {words.count(round(operating.MIN_FALSE_ALARMS / fpr))} non-members in the "
        "threshold part and as many in the test part"
    )
    parts = (tables.get("sets") or {}).get(_OTHERS[protocol]) or {}
    known = [parts[name]["images"] for name in ("threshold", "test") if name in parts]
    if len(known) < 2:
        return f"{text}; there are fewer."
    return f"{text}; there are {' and '.join(map(words.count, known))}."


def _by_access(baselines: list) -> dict[str, list]:
    """{access: baselines}, as only equal access is compared; the best of each first."""
    found = {}
    for row in sorted(baselines, key=lambda row: -row["auc"]):
        found.setdefault(row["access"], []).append(row)
    return dict(sorted(found.items(), key=lambda item: ("embedding" not in item[0], item[0])))


def _test(name: str, block: Mapping) -> dict | None:
    """A hypothesis with its alternative, and how often its test is right and wrong."""
    found = block[name]
    if not found:
        return None
    title, null, alternative = _HYPOTHESES[name]
    return {
        "name": name,
        "title": title,
        "null": null,
        "alternative": alternative,
        "found": found,
        "rows": [
            (words.level(level), power, found["false_alarms"][level], found["conditional"][level])
            for level, power in found["power"].items()
        ],
        "needed": " and ".join(
            f"{words.count(conformal.conditional_needed(float(level)))} at {words.level(level)}"
            for level in found["conditional"]
        ),
    }
