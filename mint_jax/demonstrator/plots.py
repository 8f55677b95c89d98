"""Where a score lies among those of known photos, as inline SVG without styles of its own."""

import html
from collections.abc import Sequence

import numpy as np

from mint_jax.demonstrator.examiner import Model
from mint_jax.demonstrator.words import Words

_WIDTH, _HALF, _BINS, _TOP = 320, 34, 40, 16  # px; a score's label stands above
_CLIP = 1e-7
_TAILS = (0.2, 99.8)  # per cent; what lies beyond is drawn at the border


class ScorePlot:
    """Histograms of one model's known photos: used ones above the axis, unused ones below.

    The axis is the logit of the score: most auditors' scores crowd near 0 and 1.
    """

    def __init__(self, model: Model):
        """Counts once what is the same for every photo.

        Args:
          model: with sorted scores of known photos.
        """
        self._sides = (np.asarray(model.members, float), np.asarray(model.non_members, float))
        logits = [_logit(side) for side in self._sides]
        known = np.concatenate(logits)
        self._range = np.percentile(known, _TAILS) if known.size else np.array([-1.0, 1.0])
        if self._range[0] == self._range[1]:
            self._range = self._range + [-1.0, 1.0]
        self._shares = [_shares(side, self._range) for side in logits]

    def below(self, score: float) -> tuple[int, int]:
        """Of 100 used and of 100 unused photos, how many have a lower score; rounded down."""
        counts = (np.searchsorted(side, score, side="left") for side in self._sides)
        return tuple(100 * int(n) // max(1, len(side)) for n, side in zip(counts, self._sides))

    def caption(self, score: float, words: Words) -> str:
        """The text alternative, which says all that the picture shows."""
        members, others = self.below(score)
        return words.plot.format(score=words.number(score), members=members, others=others)

    def svg(self, score: float, words: Words) -> str:
        """The picture with a line at `score`; empty where either side is unknown."""
        if not all(len(side) for side in self._sides):
            return ""
        axis, tallest = _TOP + _HALF, max(share.max() for share in self._shares)
        bars = [
            f'<path class="{name}" d="{_outline(share / tallest * sign, axis)}"/>'
            for name, share, sign in zip(("used", "unused"), self._shares, (-1, 1))
        ]
        low, high = self._range
        x = float(np.clip((_logit(score) - low) / (high - low), 0, 1)) * _WIDTH
        anchor = "start" if x < _WIDTH / 3 else "end" if x > 2 * _WIDTH / 3 else "middle"
        label = html.escape(self.caption(score, words))
        bottom = axis + _HALF
        return (
            f'<svg class="scores" viewBox="-2 0 {_WIDTH + 4} {bottom + 2}" role="img" '
            f'aria-label="{label}">{"".join(bars)}'
            f'<path class="axis" d="M0 {axis}H{_WIDTH}"/>'
            f'<path class="you" d="M{x:.1f} {_TOP - 2}V{bottom}"/>'
            f'<text x="{x:.1f}" y="{_TOP - 5}" text-anchor="{anchor}">'
            f"{html.escape(words.plot_you)}</text></svg>"
        )


def _logit(scores: np.ndarray | float) -> np.ndarray:
    scores = np.clip(scores, _CLIP, 1 - _CLIP)
    return np.log(scores / (1 - scores))


def _shares(logits: np.ndarray, bounds: Sequence[float]) -> np.ndarray:
    counts = np.histogram(np.clip(logits, *bounds), _BINS, bounds)[0]
    return counts / max(1, len(logits))


def _outline(heights: np.ndarray, axis: int) -> str:
    """The path of a histogram from left to right, closed on the axis."""
    step = _WIDTH / len(heights)
    tops = (f"V{axis + _HALF * height:.1f}H{step * (i + 1):g}" for i, height in enumerate(heights))
    return f"M0 {axis}{''.join(tops)}V{axis}Z"
