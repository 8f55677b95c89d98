"""The report as one self-contained HTML page: no script, no request to anywhere."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import jinja2

from mint_jax.report import evidence, figures, findings, grid, paper, text, words
from mint_jax.report.grid import Key

_TEMPLATES = Path(__file__).with_name("templates")
EVERY_BESIDE = ("matched", "random_network", "pixels")
_FEW = 12  # longer lists are counted instead of printed
_GLANCE = (0.3, 1.0)  # the scale of the overview


def write_html(
    path: str | Path,
    tables: Mapping,
    scores: Mapping[str, Mapping],
    context: Mapping | None = None,
) -> None:
    """Writes the report of an audit.

    Args:
      path: of the page; its folder exists.
      tables: the content of `tables.json`; absent cells, controls and protocols are left out.
      scores: {"matched/table1/conv1/1000": {"labels": (n,), "scores": (n,)}, ...} for the plots.
      context: further facts about the run, {name: value}, printed at the end.
    """
    Path(path).write_text(render(tables, scores, context or {}), encoding="utf-8")


def render(tables: Mapping, scores: Mapping[str, Mapping], context: Mapping) -> str:
    """The page of `write_html` as a string."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(capitalize_first=_capitalize, layer_name=words.layer)
    environment.globals.update(words=words, headers=text.HEADERS, shared=text.shared)
    return environment.get_template("report.html.j2").render(
        tables=tables,
        audited=tables["audited"],
        date=(tables.get("date") or "").replace("T", " ").replace("+00:00", " UTC"),
        facts=list(_facts(tables["audited"].get("info") or {})),
        sets=tables.get("sets") or {},
        notes=tables.get("notes") or [],
        run={**(tables.get("versions") or {}), **context},
        glance=list(_glance(tables)),
        verdicts=evidence.verdicts(tables),
        evidence=evidence.sections(tables, scores),
        headlines=findings.headlines(tables),
        follows=findings.follows(tables),
        limits=findings.limits(tables),
        protocols=[_protocol(tables, name) for name in words.PROTOCOLS],
        banks=grid.bank_grid(tables),
        paper=paper,
        roc=figures.roc(tables, scores),
        sizes=figures.sizes(tables),
        histograms=figures.histograms(tables, scores),
        every={name: list(_every(tables, name)) for name in words.PROTOCOLS},
        every_beside=EVERY_BESIDE,
        fprs=_fprs(tables),
        chance=_position(0.5),
    )


def _capitalize(text: str) -> str:
    """Jinja's own `capitalize` lowers the rest."""
    return text[:1].upper() + text[1:]


def _protocol(tables: Mapping, name: str) -> dict:
    found = tables["protocols"].get(name)
    grids = [grid.grid(tables, name, kind) for kind in ("table1", "table2")] if found else []
    return {
        "name": name,
        "title": f"{words.PROTOCOLS[name]} protocol",
        "grids": [g for g in grids if g],
        "missing": None if found else findings.missing(tables, name),
    }


def _facts(info: Mapping, prefix: str = "") -> Iterator[tuple[str, str]]:
    """What is known of the audited model, nested entries with their path."""
    for name, value in info.items():
        label = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from _facts(value, f"{label}: ")
        elif isinstance(value, (list, tuple)):
            few = len(value) <= _FEW
            yield label, ", ".join(map(str, value)) if few else f"{len(value):,} entries"
        elif value is not None:
            yield label, str(value)


def _glance(tables: Mapping) -> Iterator[dict]:
    """The overview: accuracies at the largest size, each protocol beside its blind controls."""
    for kind in ("table1", "table2", *grid.BANKS):
        for protocol in words.PROTOCOLS:
            for key in figures.representatives(tables, protocol):
                if key.kind == kind:
                    yield from _glance_rows(tables, key)


def _glance_rows(tables: Mapping, key: Key) -> Iterator[dict]:
    title = words.PROTOCOLS[key.protocol].lower()
    pixels = Key(key.protocol, "pixels")
    random = Key(key.protocol, key.kind, key.layer, "random_network")
    rows = [(f"{figures.name(key)}, {title}", key), ("a random network", random)]
    if key.protocol != "matched":
        rows.append(("pixels only", pixels))
    for name, where in rows:
        cell = grid.largest(grid.cells(tables, where))
        if cell:
            low, high = (_position(x) for x in cell["accuracy_ci95"])
            yield {
                "name": name,
                "cell": cell,
                "blind": where != key,
                "protocol": key.protocol,
                "low": low,
                "width": round(high - low, 2),
                "at": _position(cell["accuracy"]),
            }


def _position(value: float) -> float:
    low, high = _GLANCE
    return round(100 * (min(max(value, low), high) - low) / (high - low), 2)


def _fprs(tables: Mapping) -> list[str]:
    """The false positive rates that cells hold a TPR at, falling."""
    keys = [key for protocol in words.PROTOCOLS for key in grid.keys(tables, protocol)]
    cells = [cell for key in keys for cell in grid.cells(tables, key).values()]
    return sorted({fpr for cell in cells for fpr in cell["tpr_at_fpr"]}, key=float, reverse=True)


def _every(tables: Mapping, protocol: str) -> Iterator[dict]:
    """Every cell of a protocol; of the cross-database one with what it must be read with."""
    columns = EVERY_BESIDE if protocol == "cross_database" else ()
    for control in ("", *grid.CONTROLS):
        for key in grid.keys(tables, protocol, control):
            cells = grid.cells(tables, key)
            for size in sorted(cells, key=int):
                yield {
                    "name": figures.name(key),
                    "size": size,
                    "cell": cells[size],
                    "beside": [
                        None if control else grid.beside_of(tables, key, c) for c in columns
                    ],
                }
