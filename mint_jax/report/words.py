"""How names and numbers are written: one way in the console, on the page and in sentences."""

from collections.abc import Sequence

AUDITORS = {"table1": "Vanilla", "table2": "CNN", "neighbour": "Neighbour", "pixels": "Pixels only"}
PROTOCOLS = {"matched": "Matched", "cross_database": "Cross-database"}
_LAYERS = {"outcome": "Model outcome", "all_conv": "All conv layers"}


def layer(name: str) -> str:
    """`conv1` -> `Conv #1`, as the paper prints it; a name that it does not have stays."""
    if name.startswith("conv") and name[4:].isdigit():
        return f"Conv #{name[4:]}"
    return _LAYERS.get(name, name)


def rate(value: float, digits: int = 3) -> str:
    """A share without its leading zero, as the paper prints it: .503, 1.000."""
    return f"{value:.{digits}f}".removeprefix("0")


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


def excludes_chance(cell: dict, name: str = "auc") -> bool:
    """Whether the interval of a figure lies on one side of .500."""
    low, high = cell[f"{name}_ci95"]
    return low > 0.5 or high < 0.5
