"""Plots of null models and power, as files that a page can show."""

import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mint_jax.report.plots import COLOURS, MUTED

_MARKERS = "os^Dv*P"  # beside the colours, for those who do not tell them apart
_LEVEL = "0.05"


def p_values(rows: Sequence[Mapping]) -> str:
    """Sorted randomised p-values of each null model against those of a uniform sample."""

    def draw(axes: Sequence[Any]) -> None:
        (left, right), bins = axes, np.linspace(0, 1, 11)
        left.axline((0, 0), slope=1, color=MUTED, linewidth=0.8, linestyle=":")
        right.axhline(0.1, color=MUTED, linewidth=0.8, linestyle=":")
        for row, colour in zip(rows, COLOURS):
            p = np.sort(row["p_values"])
            left.plot((np.arange(len(p)) + 0.5) / len(p), p, color=colour, label=row["title"])
            right.stairs(np.histogram(p, bins)[0] / len(p), bins, color=colour)
        left.set(xlabel="quantile of a uniform sample", ylabel="p-value, one a redraw")
        right.set(xlabel="p-value, one a redraw", ylabel="share of redraws")
        right.set_ylim(bottom=0)

    return _svg(draw)


def power(rows: Sequence[Mapping]) -> str:
    """Members found at 5%: over the photos pooled, and over the bank's share of their photos."""
    rows = [row for row in rows if row["used"]]

    def draw(axes: Sequence[Any]) -> None:
        for axis, x, other, legend in zip(
            axes,
            ("photos", "share"),
            ("share", "photos"),
            ("{:.0%} of members' photos in the bank".format, "photos pooled a person: {}".format),
        ):
            axis.axhline(float(_LEVEL), color=MUTED, linewidth=0.8, linestyle=":")
            markers = itertools.cycle(zip(COLOURS, _MARKERS))
            for value in sorted({row[other] for row in rows}):
                chosen = [row for row in rows if row[other] == value]
                levels = [row["levels"][_LEVEL] for row in chosen]
                y = np.array([level["rate"] for level in levels])
                error = np.abs(np.array([level["rate_ci95"] for level in levels]).T - y)
                colour, marker = next(markers)
                places = [row[x] for row in chosen]
                style = {"color": colour, "marker": marker, "label": legend(value)}
                axis.errorbar(places, y, error, markersize=4.5, linewidth=1.2, **style)
            axis.set(ylabel="members found at 5%", ylim=(0, 1))
        axes[0].set(xlabel="photos pooled a person", xticks=sorted({row["photos"] for row in rows}))
        axes[1].set(xlabel="share of the members' photos in the bank", xlim=(0, 1))

    return _svg(draw)


def _svg(draw: Callable[[Sequence[Any]], None]) -> str:
    """Draws on two pairs of axes; matplotlib is imported here because that takes a second."""
    import matplotlib
    from matplotlib.figure import Figure

    style = {"svg.fonttype": "none", "svg.hashsalt": "null models", "font.size": 9.5}
    with matplotlib.rc_context(style):
        figure = Figure((8.8, 4.2), layout="constrained")
        axes = figure.subplots(1, 2)
        draw(axes)
        for axis in axes:
            axis.spines[["top", "right"]].set_visible(False)
            if axis.get_legend_handles_labels()[1]:
                axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), fontsize=8.5)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
