"""A lab's comparison as a picture: every auditor's AUC, and what more knowledge is worth."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mint_jax.report.plots import COLOURS, MUTED


def picture(found: Mapping) -> str:
    """SVG of an entry of "labs" of compare.json; matplotlib is imported here, it takes a second."""
    import matplotlib
    from matplotlib.figure import Figure

    style = {"svg.fonttype": "none", "svg.hashsalt": "comparison", "font.size": 9.5}
    curves = [name for name in ("coverage", "zoo") if found[name]]
    with matplotlib.rc_context(style):
        height = max(3.2, 1.2 + 0.22 * len(found["rows"]))
        figure = Figure((6.4 + 3.2 * len(curves), height), layout="constrained")
        figure.suptitle(found["title"])
        widths = {"width_ratios": [2, *[1] * len(curves)]}
        axes = figure.subplots(1, 1 + len(curves), squeeze=False, gridspec_kw=widths)[0]
        _rows(axes[0], found["rows"])
        for axis, name in zip(axes[1:], curves):
            _CURVES[name](axis, found)
        for axis in axes:
            axis.spines[["top", "right"]].set_visible(False)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def _rows(axis: Any, rows: Sequence[Mapping]) -> None:
    """AUC of each row with its interval, a colour for each access."""
    accesses = list(dict.fromkeys(row["access"] for row in rows))
    axis.axvline(0.5, color=MUTED, linewidth=0.8, linestyle=":")
    for place, access in enumerate(accesses):
        at = [i for i, row in enumerate(rows) if row["access"] == access]
        values, errors = _with_errors([rows[i] for i in at])
        colour = COLOURS[place % len(COLOURS)]
        axis.errorbar(values, at, xerr=errors, fmt="o", markersize=4, color=colour, label=access)
    axis.set_yticks(range(len(rows)), [row["title"] for row in rows])
    axis.invert_yaxis()
    axis.set(xlabel="AUC")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), fontsize=8.5, ncols=2)


def _coverage(axis: Any, found: Mapping) -> None:
    _curve(axis, found["coverage"], "coverage")
    chosen = next(row["title"] for row in found["rows"] if row["name"] == found["chosen"])
    axis.set(xlabel="share of the people that is known", xlim=(0, 1))
    axis.set_title(chosen, fontsize=8.5)


def _zoo(axis: Any, found: Mapping) -> None:
    _curve(axis, found["zoo"], "references")
    counts = [row["references"] for row in found["zoo"]]
    axis.set(xlabel="reference models", xticks=counts)
    axis.set_title("the fused score, given theirs", fontsize=8.5)


_CURVES = {"coverage": _coverage, "zoo": _zoo}


def _curve(axis: Any, rows: Sequence[Mapping], x: str) -> None:
    values, errors = _with_errors(rows)
    axis.axhline(0.5, color=MUTED, linewidth=0.8, linestyle=":")
    places = [row[x] for row in rows]
    axis.errorbar(places, values, errors, marker="o", markersize=4, color=COLOURS[0])
    axis.set(ylabel="AUC")


def _with_errors(rows: Sequence[Mapping]) -> tuple[np.ndarray, np.ndarray]:
    values = np.array([row["auc"] for row in rows])
    return values, np.abs(np.array([row["auc_ci95"] for row in rows]).T - values)
