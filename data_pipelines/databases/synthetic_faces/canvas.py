"""Anti-aliased painting on a face by implicit functions of head coordinates."""

import dataclasses
import functools

import cv2
import numpy as np

from data_pipelines.databases.synthetic_faces.geometry import SIZE, Head, View, sample

_TILE = 256


def ramp(distance: np.ndarray, softness: float = 1.0) -> np.ndarray:
    """Coverage in [0, 1] of a pixel at a signed distance (pixels, inside is positive)."""
    cover = distance + 0.5 if softness == 1 else distance * (1 / softness)
    if softness != 1:
        cover += 0.5
    np.maximum(cover, 0, out=cover)
    return np.minimum(cover, 1, out=cover)


def bell(x: np.ndarray) -> np.ndarray:
    """exp(-x^2)."""
    square = x * x
    np.negative(square, out=square)
    return np.exp(square, out=square)


def spot(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """exp(-x^2 - y^2)."""
    square = x * x
    square += y * y
    np.negative(square, out=square)
    return np.exp(square, out=square)


def length(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The Euclidean length, quicker than the overflow-proof np.hypot."""
    square = x * x
    square += y * y
    return np.sqrt(square, out=square)


@functools.cache
def _tile(grain: float, stretch: float) -> np.ndarray:
    """Unit-variance noise of period 256, correlated over `grain` (and `stretch` down).

    Three periods each way, (768, 768): sampling inside is much quicker than wrapping around.
    """
    rng = np.random.Generator(np.random.Philox(7))
    white = np.tile(rng.standard_normal((_TILE, _TILE)).astype(np.float32), (3, 3))
    smooth = cv2.GaussianBlur(white, (0, 0), sigmaX=grain, sigmaY=grain * stretch)
    tile = smooth[_TILE : 2 * _TILE, _TILE : 2 * _TILE]
    return np.tile(tile / tile.std(), (3, 3))


def paint(image: np.ndarray, coverage: np.ndarray, colour: np.ndarray) -> None:
    """Blends a colour (3,) or (3, h, w) into planes (3, h, w), in place, by coverage (h, w)."""
    for plane, value in zip(image, colour):
        step = value - plane
        step *= coverage
        plane += step


def dim(image: np.ndarray, amount: np.ndarray, tint: tuple | None = None) -> None:
    """Multiplies planes (3, h, w) by 1 - amount * tint (no tint: all alike), in place."""
    if tint is None:
        image *= 1 - amount
        return
    for plane, share in zip(image, tint):
        factor = amount * np.float32(share)
        plane *= np.subtract(1, factor, out=factor)


def noise(u, v, scale: tuple, shift: tuple, grain: float, stretch: float = 1.0) -> np.ndarray:
    """Noise at scale * (u, v) + shift, float32 like u and v; quickest within 0 and 768."""
    x, y = u * scale[0], v * scale[1]
    x += shift[0]
    y += shift[1]
    tile = _tile(grain, stretch)
    return cv2.remap(tile, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


@dataclasses.dataclass(frozen=True)
class Window:
    """A rectangle of the canvas: coordinates relative to its centre, and the layers to paint."""

    u: np.ndarray
    v: np.ndarray
    albedo: np.ndarray
    gloss: np.ndarray

    def blend(self, coverage: np.ndarray, colour: np.ndarray) -> None:
        """Paints over the albedo with a colour (3,) or (3, h, w)."""
        paint(self.albedo, coverage, colour)

    def darken(self, amount: np.ndarray, tint: tuple | None = None) -> None:
        """Multiplies the albedo by 1 - amount * tint."""
        dim(self.albedo, amount, tint)


def _span(centre: float, reach: float) -> tuple[int, int]:
    """Pixels around a centre, with room for what the pose stretches."""
    reach = 1.25 * reach + 2
    return int(min(max(centre - reach, 0), SIZE)), int(min(max(centre + reach, 0), SIZE))


@dataclasses.dataclass(frozen=True)
class Canvas:
    """The layers of an image under construction, over the head coordinates of its pixels.

    `albedo` is float32 (3, 112, 112): planes are several times quicker to paint than pixels.
    """

    head: Head
    view: View
    albedo: np.ndarray
    gloss: np.ndarray

    def window(self, u: float, v: float, reach_u: float, reach_v: float) -> Window:
        """The rectangle that holds head positions within `reach` of (u, v); it may be empty."""
        x, y = self.view.project(float(u), float(v), float(sample(self.head.height, u, v)))
        left, right = _span(x, reach_u)
        top, bottom = _span(y, reach_v)
        part = np.s_[top:bottom, left:right]
        return Window(
            self.view.u[part] - np.float32(u),
            self.view.v[part] - np.float32(v),
            self.albedo[:, top:bottom, left:right],
            self.gloss[part],
        )
