"""A lab's comparison as a table and as a picture, with what more knowledge is worth."""

import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mint_jax.report import words
from mint_jax.report.plots import COLOURS, MUTED

_WIDTH = 24  # characters of a curve's title
_PERSON = {
    "person": "people, by the mean of their photos",
    "image_given_person": "used photos among a person's own",
}


def table(found: Mapping) -> Iterator[str]:
    """Lines of a lab's table, grouped by access: only equal access is compared."""
    first, access = found["rows"][0], None
    width = max(len(row["title"]) for row in found["rows"])
    yield (
        f"{found['title']}: {first['models']} models at {found['input_size']} pixels, training "
        f"loss up to {max(found['training_loss']):.2f}, n = {first['n_test']:,}, 95% intervals "
        f"{first['interval']}, .500 is chance"
    )
    for row in found["rows"]:
        if row["access"] != access:
            access = row["access"]
            yield f"\n{access:{width + 2}}  {'AUC':17}  TPR at 1% FPR"
        yield f"  {row['title']:{width}}  {_figures(row)}"
    chosen = next(row for row in found["rows"] if row["name"] == found["chosen"])
    yield (
        f"\nchosen, AUC {words.rate(chosen['validation_auc'])} on other models "
        f"({len(found['validation'])}): {chosen['title']}"
    )
    for key, title in _PERSON.items():
        if key in chosen:
            yield f"  {title}, n = {chosen[key]['n_test']:,}: {_figures(chosen[key])}"
    yield f"  told another model's members, a null: {_figures(found['null'])}"
    for row in found["coverage"]:
        yield f"  {words.percent(row['coverage'])} of the people known: {_figures(row)}"
    for row in found["zoo"][1:]:
        yield (
            f"  fusion given {row['references']} reference models (R2 {words.figure(row, 'r2')}): "
            f"{_figures(row)}"
        )
    for row in found.get("public", [])[1:]:
        names = " and ".join(row["names"])
        yield f"  fusion given {names} (R2 {words.figure(row, 'r2')}): {_figures(row)}"
    for row in found.get("public_alone", []):
        yield f"  {row['name']} alone, told the same members, a null: {_figures(row)}"
    if found["prototypes"]:
        cosine = words.figure(found["prototypes"], "cosine")
        yield f"  estimated prototypes, cosine {cosine}: {words.figure(found['prototypes'], 'auc')}"


def _figures(row: Mapping) -> str:
    tpr = "-" if row["tpr_at_fpr"] is None else words.figure(row, "tpr_at_fpr")
    return f"{words.figure(row, 'auc')}  {tpr}"


def picture(found: Mapping) -> str:
    """SVG of an entry of "labs" of compare.json; matplotlib is imported here, it takes a second."""
    import matplotlib
    from matplotlib.figure import Figure

    style = {"svg.fonttype": "none", "svg.hashsalt": "comparison", "font.size": 9.5}
    curves = [name for name in _CURVES if found.get(name)]
    with matplotlib.rc_context(style):
        accesses = {row["access"] for row in found["rows"]}
        height = max(3.2, 1.2 + 0.2 * (len(found["rows"]) + len(accesses)))
        figure = Figure((7.4 + 2.8 * len(curves), height), layout="constrained")
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
    """AUC of each row with its interval, grouped by access."""
    labels, places, headings, access = [], [], [], None
    for row in rows:
        if row["access"] != access:
            access = row["access"]
            headings.append(len(labels))
            labels.append(access)
        places.append(len(labels))
        labels.append(row["title"])
    values, errors = _with_errors(rows)
    axis.axvline(0.5, color=MUTED, linewidth=0.8, linestyle=":")
    axis.errorbar(values, places, xerr=errors, fmt="o", markersize=4, color=COLOURS[0])
    axis.set_yticks(range(len(labels)), labels)
    for heading in headings:
        axis.get_yticklabels()[heading].set_fontweight("bold")
    axis.invert_yaxis()
    axis.set(xlabel="AUC", xlim=(0, 1.02))


def _coverage(axis: Any, found: Mapping) -> None:
    _curve(axis, found["coverage"], "coverage")
    chosen = next(row["title"] for row in found["rows"] if row["name"] == found["chosen"])
    axis.set(xlabel="share of the people that is known", xlim=(0, 1))
    axis.set_title(textwrap.fill(chosen, _WIDTH), fontsize=8.5)


def _zoo(axis: Any, found: Mapping) -> None:
    _given(axis, found["zoo"], "reference models")


def _public(axis: Any, found: Mapping) -> None:
    _given(axis, found["public"], "published networks")


def _given(axis: Any, rows: Sequence[Mapping], whose: str) -> None:
    _curve(axis, rows, "references")
    axis.set(xlabel=whose, xticks=[row["references"] for row in rows])
    axis.set_title(textwrap.fill("the fused score, given theirs", _WIDTH), fontsize=8.5)


_CURVES = {"coverage": _coverage, "zoo": _zoo, "public": _public}


def _curve(axis: Any, rows: Sequence[Mapping], x: str) -> None:
    values, errors = _with_errors(rows)
    axis.axhline(0.5, color=MUTED, linewidth=0.8, linestyle=":")
    places = [row[x] for row in rows]
    axis.errorbar(places, values, errors, marker="o", markersize=4, color=COLOURS[0])
    axis.set(ylabel="AUC", ylim=(0.45, 1.02))


def _with_errors(rows: Sequence[Mapping]) -> tuple[np.ndarray, np.ndarray]:
    values = np.array([row["auc"] for row in rows])
    return values, np.abs(np.array([row["auc_ci95"] for row in rows]).T - values)
