"""How names and numbers are written: one way in the console, on the page and in sentences."""

import math
from collections.abc import Sequence

AUDITORS = {
    **dict.fromkeys(("table1", "vanilla"), "Vanilla"),
    **dict.fromkeys(("table2", "cnn"), "CNN"),
    "neighbour": "Neighbour",
    "fusion": "Fusion",
    "pixels": "Pixels only",
}
PROTOCOLS = {"matched": "Matched", "cross_database": "Cross-database"}
_LAYERS = {"outcome": "Model outcome", "all_conv": "All conv layers"}


def layer(name: str) -> str:
    """`conv1` -> `Conv #1`, as the paper prints it; a name that it does not have stays."""
    if name.startswith("conv") and name[4:].isdigit():
        return f"Conv #{name[4:]}"
    return _LAYERS.get(name, name)


def auditor(kind: str, name: str = "") -> str:
    """`Vanilla, all conv layers`; `name` is a layer's."""
    shown = layer(name)
    text = AUDITORS[kind]
    return f"{text}, {shown if '#' in shown else shown.lower()}" if name else text


def rate(value: float, digits: int = 3) -> str:
    """A share without its leading zero, as the paper prints it: .503, 1.000, -.012."""
    text = f"{value:.{digits}f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def at_least(bound: float) -> str:
    """A lower bound, rounded to its own side, so that it stays a bound."""
    return rate(math.floor(round(1000 * bound, 6)) / 1000)


def at_most(bound: float) -> str:
    """An upper bound, rounded to its own side."""
    return rate(math.ceil(round(1000 * bound, 6)) / 1000)


def interval(bounds: Sequence[float], digits: int = 3) -> str:
    """`[.481, .525]`."""
    return f"[{rate(bounds[0], digits)}, {rate(bounds[1], digits)}]"


def count(n: int | str) -> str:
    """With separators between thousands."""
    return f"{int(n):,}"


def figure(cell: dict, name: str = "accuracy") -> str:
    """A figure of a cell with its interval: `.503 [.481, .525]`."""
    return f"{rate(cell[name])} {interval(cell[f'{name}_ci95'])}"


def percent(value: float) -> str:
    """`96%`; one decimal below 10%."""
    return f"{100 * value:.0f}%" if value >= 0.1 else f"{100 * value:.1f}%"


def level(fpr: str) -> str:
    """A rate as its key in `tables.json` in percent: `0.001` -> `0.1%`."""
    return f"{100 * float(fpr):g}%"


def excludes_chance(cell: dict, name: str = "auc") -> bool:
    """Whether the interval of a figure lies on one side of .500."""
    low, high = cell[f"{name}_ci95"]
    return low > 0.5 or high < 0.5
