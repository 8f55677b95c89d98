"""Tables 1 and 2 as text, printed like the paper's, with their controls beside."""

import textwrap
from collections.abc import Mapping

from mint_jax.report import findings, words
from mint_jax.report.grid import Grid, Row, grid, neighbour_grid

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
            grids += [grid(tables, protocol, kind) for kind in ("table1", "table2")]
        else:
            blocks.append(_wrap(f"{name} protocol: {findings.missing(tables, protocol)}"))
    grids.append(neighbour_grid(tables))
    blocks += [_table(found) for found in grids if found]
    blocks.append("\n".join(_wrap(f"{f.lead} {f.text}", "- ") for f in findings.headlines(tables)))
    return "\n\n".join(blocks)


def shared(found: Grid) -> str:
    """What the cells of a table share: n, auditors a cell, and what the brackets are."""
    images, seeds = (sorted({cell[name] for cell in found.cells}) for name in ("n_test", "seeds"))
    return (
        f"n = {_range(images)} test images, {_range(seeds)} auditors a cell, "
        "95% intervals, .500 is chance"
    )


def _range(values: list[int]) -> str:
    return " to ".join(words.count(value) for value in dict.fromkeys((values[0], values[-1])))


def _table(found: Grid) -> str:
    shown = [i for i, name in enumerate(found.columns) if name != "false_member_rate"]
    head = ["samples", *map(words.count, found.sizes), *(HEADERS[found.columns[i]] for i in shown)]
    lines = [head, *(_row(row, found.figure, shown) for row in found.rows)]
    widths = [max(map(len, column)) + 2 for column in zip(*lines, strict=True)]
    split = 1 + len(found.sizes)
    printed = [_line(line, widths, split) for line in lines]
    rule = "-" * max(map(len, printed))
    largest = f"; right of the bar: at {words.count(found.sizes[-1])}" if shown else ""
    return "\n".join([found.title, f"({shared(found)}{largest})", printed[0], rule, *printed[1:]])


def _line(texts: list[str], widths: list[int], split: int) -> str:
    padded = [f"{text:{width}}" for text, width in zip(texts, widths, strict=True)]
    sides = "".join(padded[:split]), "".join(padded[split:])
    return "| ".join(side for side in sides if side).rstrip()


def _row(row: Row, figure: str, shown: list[int]) -> list[str]:
    cells = [*row.cells, *(row.beside[i] for i in shown)]
    return [row.name, *(_text(cell, figure) for cell in cells)]


def _text(cell: dict | str | None, figure: str) -> str:
    if not isinstance(cell, dict):
        return cell or "-"
    return f"{words.rate(cell[figure], 2)} {words.interval(cell[f'{figure}_ci95'], 2)}"


def _wrap(text: str, bullet: str = "") -> str:
    return textwrap.fill(text, _WIDTH, initial_indent=bullet, subsequent_indent=" " * len(bullet))
