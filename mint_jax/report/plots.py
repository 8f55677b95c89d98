"""Small plots as inline SVG; every function returns one `<svg>` element with a text alternative."""

import html
import io
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mint_jax.evidence import metrics

MEMBERS, OTHERS, INK, MUTED = "#0b5fa5", "#b3470a", "#1c2430", "#5b6573"
COLOURS = (MEMBERS, OTHERS, "#0a7458", "#8a3d8f", "#8a6a00", INK, "#c2185b", "#0090b0")
_MARKERS = "os^Dv*PX"  # beside the colours, for those who do not tell them apart
_DASHES = ((4, 2), (1, 1.2), (6, 1, 1, 1), (8, 3), (3, 1, 1, 1, 1, 1))
_SIZE = (4.4, 4.2)  # inches; a phone shows one plot a row at about its own size
_POINTS = 160
_STYLE = {
    "svg.fonttype": "none",  # text stays text: searchable, and in the page's own font
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "grid.color": "#dfe3e8",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.markersize": 4.5,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}


@dataclass(frozen=True)
class Curve:
    """One ROC curve: labels and scores (n,); `blind` = a control, drawn dashed."""

    name: str
    labels: np.ndarray
    scores: np.ndarray
    blind: bool = False


@dataclass(frozen=True)
class Line:
    """Figures over training sizes with their intervals; `blind` = a control, drawn dashed."""

    name: str
    sizes: Sequence[int]
    values: Sequence[float]
    bounds: Sequence[Sequence[float]]
    blind: bool = False


def roc(curves: Sequence[Curve], description: str) -> str:
    """ROC curves on logarithmic axes, from the smallest FPR that the non-members resolve."""
    smallest = min(1 / np.sum(np.asarray(c.labels) == 0) for c in curves)

    def draw(axes: Any) -> None:
        grid = np.geomspace(smallest, 1, _POINTS)
        axes.plot(grid, grid, color=MUTED, linewidth=0.8, linestyle=":", label="chance")
        for curve, style in _styled(curves):
            fpr, tpr = metrics.roc(curve.labels, curve.scores)
            reached = tpr[np.searchsorted(fpr, grid, side="right") - 1]
            axes.plot(grid, reached.clip(smallest), label=curve.name, **style)
        axes.set(xscale="log", yscale="log", xlim=(smallest, 1), ylim=(smallest, 1.15))
        axes.set(xlabel="false positive rate", ylabel="true positive rate")
        ticks = [10.0**k for k in range(-6, 1) if 10.0**k >= smallest * 0.999]
        axes.set_xticks(ticks, [f"{100 * tick:g}%" for tick in ticks])
        axes.set_yticks(ticks, [f"{100 * tick:g}%" for tick in ticks])
        axes.grid(True)
        _legend_below(axes)

    return _svg(draw, description)


def tippett(members: np.ndarray, others: np.ndarray, description: str) -> str:
    """Share of log10 likelihood ratios (a,) and (b,) that are as large as each value, or larger."""
    low, high = min(members.min(), others.min(), -0.5), max(members.max(), others.max(), 0.5)

    def draw(axes: Any) -> None:
        grid = np.linspace(low, high, _POINTS)
        for values, colour, name in ((members, MEMBERS, "used"), (others, OTHERS, "not used")):
            axes.plot(grid, at_or_above(values, grid), color=colour, linewidth=1.5, label=name)
        axes.axvline(0, color=MUTED, linewidth=0.8, linestyle=":")
        axes.set(xlim=(low, high), ylim=(0, 1.02))
        axes.set(xlabel="log10 likelihood ratio", ylabel="share of images at or above")
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g}%")
        axes.grid(True)
        _legend_below(axes)

    return _svg(draw, description, (4.4, 3.2))


def at_or_above(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Share (g,) of the values (n,) that are as large as each point of the grid, or larger."""
    return 1 - np.searchsorted(np.sort(values), grid, side="left") / len(values)


def histogram(labels: np.ndarray, scores: np.ndarray, description: str) -> str:
    """Shares of members and of non-members over the membership score."""
    labels, scores = np.asarray(labels), np.asarray(scores)

    def draw(axes: Any) -> None:
        bins = np.linspace(0, 1, 26)
        for label, colour, fill in ((0, OTHERS, False), (1, MEMBERS, True)):
            share = np.histogram(scores[labels == label].clip(0, 1), bins)[0]
            share = share / max(1, share.sum())
            alpha = 0.35 if fill else 1.0
            axes.stairs(share, bins, fill=fill, color=colour, alpha=alpha, linewidth=1.4)
            if fill:
                axes.stairs(share, bins, color=colour, linewidth=1.2)
        axes.axvline(0.5, color=MUTED, linewidth=0.8, linestyle=":")
        axes.set(xlim=(0, 1), xlabel="membership score", ylabel="share of images")
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g}%")

    return _svg(draw, description, (3.6, 2.1))


def sizes(lines: Sequence[Line], description: str) -> str:
    """Accuracy over the number of training samples, with intervals."""
    ticks = sorted({size for line in lines for size in line.sizes})
    low = min((bounds[0] for line in lines for bounds in line.bounds), default=0.5)

    def draw(axes: Any) -> None:
        axes.axhline(0.5, color=MUTED, linewidth=0.8, linestyle=":", label="chance")
        markers = itertools.cycle(_MARKERS)
        for i, (line, style) in enumerate(_styled(lines)):
            x = np.asarray(line.sizes) * 1.02 ** (i - len(lines) / 2)  # intervals side by side
            y = np.asarray(line.values)
            error = np.abs(np.asarray(line.bounds).T - y)
            axes.errorbar(x, y, error, marker=next(markers), label=line.name, **style)
        axes.set(xscale="log", ylim=(min(0.4, low - 0.02), 1.02))
        axes.set(xlabel="training samples", ylabel="accuracy")
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.grid(True, axis="y")
        _legend_below(axes)

    return _svg(draw, description)


def _legend_below(axes: Any) -> None:
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2, handlelength=2.4)


def _styled(items: Sequence[Any]) -> list[tuple[Any, Mapping]]:
    """Colours in order; a control is grey and dashed."""
    colours = itertools.cycle(COLOURS)
    dashes = itertools.cycle((0, dash) for dash in _DASHES)
    return [
        (item, {"color": MUTED, "linestyle": next(dashes), "linewidth": 1.5})
        if item.blind
        else (item, {"color": next(colours), "linewidth": 1.5})
        for item in items
    ]


def _svg(draw: Callable, description: str, size: tuple[float, float] = _SIZE) -> str:
    """Draws on one pair of axes; matplotlib is imported here because that takes a second."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": description}):
        figure = Figure(size, layout="constrained")
        draw(figure.subplots())
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return _embeddable(file.getvalue(), description)


def _embeddable(svg: str, description: str) -> str:
    """The bare element: no XML prologue, no fixed size, no metadata, the text alternative."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(metadata|style).*?</\1>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)  # unique within one figure, not within a page
    svg = re.sub(r" font-family: [^;\"]*;", "", svg).replace("xlink:href", "href")
    view = re.search(r'viewBox="[^"]*"', svg).group()
    opening = f'<svg {view} role="img" aria-label="{html.escape(description, quote=True)}">'
    return re.sub(r"<svg[^>]*>", lambda _: opening, svg, count=1).strip()
