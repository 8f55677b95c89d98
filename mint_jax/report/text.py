"""Tables 1 and 2 and the verdicts as text, each with its controls beside."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from mint_jax.report import evidence, findings, grid, words

HEADERS = {
    "matched": "matched",
    "random_network": "random network",
    "shuffled_labels": "shuffled labels",
    "pixels": "pixels only",
    "false_member_rate": "false members",
}
_WIDTH = 110  # of sentences


def console(tables: Mapping) -> str:
    """The tables of every protocol and the sentences that follow from them.

    Args:
      tables: the content of `tables.json`.

    Returns:
      text of about 130 columns, without a trailing line break.
    """
    grids, blocks = [], []
    for protocol, name in words.PROTOCOLS.items():
        if tables["protocols"].get(protocol):
            grids += [grid.grid(tables, protocol, kind) for kind in ("table1", "table2")]
        else:
            blocks.append(_wrap(f"{name} protocol: {findings.missing(tables, protocol)}"))
    grids.append(grid.bank_grid(tables))
    blocks += [_table(found) for found in grids if found]
    blocks += _controls(tables)
    said = [*evidence.verdicts(tables), *findings.headlines(tables)]
    blocks.append("\n".join(_wrap(f"{f.lead} {f.text}", "- ") for f in said))
    return "\n\n".join(blocks)


def shared(found: grid.Grid) -> str:
    """What the cells of a table share: n, auditors a cell, and what the brackets are."""
    images, seeds = (sorted({cell[name] for cell in found.cells}) for name in ("n_test", "seeds"))
    return (
        f"n = {_range(images)} test images, {_range(seeds)} auditors a cell, "
        "95% intervals given this model, .500 is chance"
    )


def _range(values: list[int]) -> str:
    return " to ".join(words.count(value) for value in dict.fromkeys((values[0], values[-1])))


def _table(found: grid.Grid) -> str:
    shown = [i for i, name in enumerate(found.columns) if name != "false_member_rate"]
    head = ["samples", *map(words.count, found.sizes), *(HEADERS[found.columns[i]] for i in shown)]
    lines = [head, *(_row(row, found.figure, shown) for row in found.rows)]
    printed = _columns(lines, [1 + len(found.sizes)])
    largest = f"; right of the bar: at {words.count(found.sizes[-1])}" if shown else ""
    return "\n".join([found.title, f"({shared(found)}{largest})", *printed])


def _controls(tables: Mapping) -> Iterator[str]:
    """The auditor that decides beside its controls, both protocols in one table."""
    found = {words.PROTOCOLS[p].lower(): block for p, block in evidence.blocks(tables).items()}
    rows = {"the auditor": [evidence.chosen(block) for block in found.values()]}
    for i, block in enumerate(found.values()):
        for control in evidence.controls(block):
            rows.setdefault(control["name"].replace("_", " "), [None] * len(found))[i] = control
    if not found or len(rows) < 2:
        return
    head = [text for name in found for text in (f"{name}: found", "alarms", "AUC", "advantage")]
    lines = [["", *head], *([name, *sum(map(_rival, row), [])] for name, row in rows.items())]
    targets = {words.level(block["target_fpr"]) for block in found.values()}
    title = (
        f"Evidence at a false-alarm rate of {' and '.join(targets)}\n(shares of test images beyond "
        "thresholds fixed beforehand; * finds most; advantage: over this control at least, given "
        "this model)"
    )
    yield "\n".join([title, *_columns(lines, range(1, len(lines[0]), 4))])


def _rival(row: Mapping | None) -> list[str]:
    if row is None:
        return ["-"] * 4
    found, alarms, auc = (
        "-" if row[name] is None else words.rate(row[name]) for name in ("tpr", "fpr", "auc")
    )
    lower = row.get("advantage_lower95")
    mark = "*" if row.get("strongest") and row["tpr"] is not None else ""
    return [found + mark, alarms, auc, "-" if lower is None else words.at_least(lower)]


def _columns(lines: Sequence[Sequence[str]], splits: Sequence[int]) -> list[str]:
    """Lines of aligned columns, a bar before each of `splits`, a rule below the first."""
    widths = [max(map(len, column)) + 2 for column in zip(*lines, strict=True)]
    bars = [i for i in splits if i < len(widths)]
    padded = [
        "".join(
            "| " * (i in bars) + f"{text:{width}}"
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return [padded[0], "-" * max(map(len, padded)), *padded[1:]]


def _row(row: grid.Row, figure: str, shown: list[int]) -> list[str]:
    cells = [*row.cells, *(row.beside[i] for i in shown)]
    return [row.name, *(_text(cell, figure) for cell in cells)]


def _text(cell: dict | str | None, figure: str) -> str:
    if not isinstance(cell, dict):
        return cell or "-"
    return f"{words.rate(cell[figure], 2)} {words.interval(cell[f'{figure}_ci95'], 2)}"


def _wrap(text: str, bullet: str = "") -> str:
    return textwrap.fill(text, _WIDTH, initial_indent=bullet, subsequent_indent=" " * len(bullet))
