"""The in-support gate: whether an image is like those that verdicts were calibrated on.

A conformal p-value holds where query and calibration images are exchangeable. An image that was
aligned, sized or compressed as no calibration image was, or that shows what none of them shows, may
score high for that reason; it gets no verdict. The gate reads nothing of the audited model or of
the score, is fixed on a reference set that serves nothing else, and keeps calibration images and
queries by the same rule: among those that it keeps the p-values stay valid, because a fixed choice
by an image's own features leaves exchangeable images exchangeable (Vovk, Gammerman and Shafer,
"Algorithmic Learning in a Random World", 2005).

It finds what its features tell, and nothing else. Of 600 faces scaled to half the size and back,
sharpness keeps 13% and the density by `embedded_other` 99.7%; so small a network lets 83% of pure
noise pass. Faces of real people, aligned by the same rule, are told from synthetic ones by their
reconstruction alone. Give every feature that can be measured.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import cv2
import numpy as np
from scipy.linalg import eigh

from mint_jax.baselines import pixel_features

FEATURES = {
    "residual": "root mean square distance of the landmarks from the template, in pixels",
    "eyes": "distance between the eyes before the alignment, in pixels",
    "sharpness": "sharpness of the aligned face, log mean square of its Laplacian",
    "compression": "log ratio of the steps at the borders of JPEG blocks to those elsewhere",
    "density": "likeness to known faces, by a network that is not audited",
    "reconstruction": "fidelity of its drawing by components of known faces, in dB",
}
_LIKENESSES = ("density", "reconstruction")  # nothing is too alike
NEIGHBOURS = 10  # the one whose likeness is the density
_THUMBNAIL = 28  # side of the picture that is drawn
_COMPONENTS = 128
_ROWS = 256  # whose cosines are held at once


@dataclass(frozen=True)
class Gate:
    """A range of each feature; an image is in support where all of its features are.

    Attributes:
      ranges: {feature: (lowest, highest)}; the highest is None of the density and of the
        reconstruction, as nothing is too alike.
      share: of the reference images that the ranges keep, at least.
      n: reference images.
    """

    ranges: Mapping[str, tuple[float, float | None]]
    share: float
    n: int

    @classmethod
    def fit(cls, reference: Mapping[str, np.ndarray], share: float = 0.99) -> "Gate":
        """Chooses the ranges that the least extreme images of a reference set span.

        An image is as extreme as its rarest feature: as the share of images whose feature is as
        low, or as high, as its own. `share` of the images are kept, with all that are as extreme as
        the last of them; fewer than about 2 F / (1 - share) images of F features are all kept.

        Args:
          reference: {name in `FEATURES`: (n,) values}; a feature that is left out is not looked at.
          share: of the reference images to keep.

        Raises:
          ValueError: no images, an unknown feature, or values that are not finite.
        """
        values = {name: np.asarray(x, float) for name, x in reference.items()}
        if not values or not values.keys() <= FEATURES.keys():
            raise ValueError(f"features are {', '.join(FEATURES)}; not {', '.join(values) or '-'}")
        sizes = {len(x) for x in values.values()}
        if len(sizes) > 1 or 0 in sizes or not all(np.isfinite(x).all() for x in values.values()):
            raise ValueError("a reference set has one finite value of each feature for each image")
        common = np.min([_common(name, x) for name, x in values.items()], axis=0)
        n = len(common)
        kept = common >= np.sort(common)[::-1][math.ceil(share * n - 1e-9) - 1]
        ranges = {
            name: (float(x[kept].min()), None if name in _LIKENESSES else float(x[kept].max()))
            for name, x in values.items()
        }
        return cls(ranges, share, n)

    def inside(self, features: Mapping[str, np.ndarray]) -> tuple[np.ndarray, list[str | None]]:
        """Which images are in support, and why the others are not.

        Args:
          features: {feature of the gate: (n,)}; NaN where it is not known of an image, which is
            then out of support.

        Returns:
          (n,) bool, and n reasons, None where an image is in support; a reason is what
          `conformal.image_evidence` takes as `unsupported`.

        Raises:
          ValueError: other features than the gate has.
        """
        if features.keys() != self.ranges.keys():
            raise ValueError(f"this gate looks at {', '.join(self.ranges)}")
        rows = zip(*(np.asarray(features[name], float) for name in self.ranges), strict=True)
        found = [
            [_outside(name, x, *self.ranges[name]) for name, x in zip(self.ranges, row)]
            for row in rows
        ]
        reasons = ["; ".join(filter(None, row)) or None for row in found]
        return np.array([reason is None for reason in reasons], bool), reasons

    def to_json(self) -> dict:
        """As a dictionary of JSON values."""
        return asdict(self) | {"ranges": {name: list(x) for name, x in self.ranges.items()}}

    @classmethod
    def from_json(cls, found: Mapping) -> "Gate":
        """Of what `to_json` gave."""
        ranges = {name: tuple(x) for name, x in found["ranges"].items()}
        return cls(ranges, found["share"], found["n"])


def from_pixels(images: np.ndarray) -> dict[str, np.ndarray]:
    """The features `sharpness` and `compression` (n,) of aligned faces.

    Args:
      images: uint8 (n, H, W, 3) RGB, both sides multiples of 8.
    """
    return from_features(pixel_features(images))


def from_features(features: np.ndarray) -> dict[str, np.ndarray]:
    """The same (n,) out of the `pixel_features` (n, F) of the faces."""
    sharpness, *edges = features[:, -3:].T
    return {"sharpness": sharpness, "compression": np.mean(edges, axis=0)}


def density(embeddings: np.ndarray, bank: np.ndarray, neighbours: int = NEIGHBOURS) -> np.ndarray:
    """The feature `density`: cosine (n,) of each embedding to its k-th nearest in a bank.

    Args:
      embeddings: (n, D) by a network that is not the audited one: an image that the audited one
        was trained on must not be in or out of support for that.
      bank: (m, D), float16 or more, of other people than those of the reference set, the
        calibration sets and the queries, all of whom are then compared to strangers alike.
      neighbours: k.

    Raises:
      ValueError: fewer than k images in the bank.
    """
    if len(bank) < neighbours:
        raise ValueError(f"{neighbours} neighbours are asked for in a bank of {len(bank)} images")
    known = _unit(bank).T
    blocks = (embeddings[i : i + _ROWS] for i in range(0, len(embeddings), _ROWS))
    near = [np.partition(_unit(x) @ known, -neighbours, axis=1)[:, -neighbours] for x in blocks]
    return np.concatenate(near)


def thumbnails(images: np.ndarray) -> np.ndarray:
    """(n, 2352) uint8 pictures of 28 x 28 x 3, the means of the pixels of (n, H, W, 3) faces."""
    size = _THUMBNAIL, _THUMBNAIL
    small = [cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in images]
    return np.reshape(small, (len(images), -1))


class Components:
    """The mean of known faces and their principal components, by which others are drawn.

    What faces of another kind vary in, these do not draw. Source: Hoffmann, "Kernel PCA for novelty
    detection", Pattern Recognition 40 (2007), of which this is the linear case.

    Attributes:
      mean: (D,) of thumbnails.
      basis: (k, D) orthonormal rows.
    """

    def __init__(self, mean: np.ndarray, basis: np.ndarray):
        self.mean, self.basis = mean, basis

    @classmethod
    def fit(cls, bank: np.ndarray, count: int = _COMPONENTS) -> "Components":
        """Those of most variance.

        Args:
          bank: (n, D) thumbnails of other people than those of the reference set, the calibration
            sets and the queries, all of whom are then strangers to them alike.
          count: how many, at most; fewer than there are pictures.
        """
        mean = bank.mean(axis=0, dtype=np.float64)
        centred = bank - mean
        first = max(0, bank.shape[1] - min(count, len(bank) - 1))
        scatter = centred.T @ centred
        basis = eigh(scatter, subset_by_index=[first, len(scatter) - 1])[1][:, ::-1].T
        return cls(mean.astype(np.float32), basis.astype(np.float32))

    def reconstruction(self, pictures: np.ndarray) -> np.ndarray:
        """The feature `reconstruction` (n,) of thumbnails (n, D): peak signal-to-noise ratio."""
        centred = pictures - self.mean
        lost = centred - (centred @ self.basis.T) @ self.basis
        return -10 * np.log10(np.mean((lost / 255) ** 2, axis=1) + 1e-12)


def _common(name: str, values: np.ndarray) -> np.ndarray:
    """Share of the images (n,) whose value is as low as each one's, or as high if that is less."""
    ordered = np.sort(values)
    as_low = np.searchsorted(ordered, values, side="right") / len(values)
    as_high = 1 - np.searchsorted(ordered, values, side="left") / len(values)
    return as_low if name in _LIKENESSES else np.minimum(as_low, as_high)


def _outside(name: str, value: float, low: float, high: float | None) -> str | None:
    """Why a value is outside of a range; None where it is not."""
    if np.isnan(value):
        return f"{FEATURES[name]}: not known"
    if value >= low and (high is None or value <= high):
        return None
    span = f"at least {low:.4g}" if high is None else f"{low:.4g} to {high:.4g}"
    return f"{FEATURES[name]}: {value:.4g}, but verdicts are calibrated for {span}"


def _unit(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.promote_types(x.dtype, np.float32))
    return x / np.linalg.norm(x, axis=1, keepdims=True)
