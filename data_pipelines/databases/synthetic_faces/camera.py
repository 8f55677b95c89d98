"""Background, sensor, resolution and compression."""

import functools
import math

import cv2
import numpy as np

from data_pipelines.databases.synthetic_faces.canvas import noise, paint, ramp
from data_pipelines.databases.synthetic_faces.geometry import SIZE
from data_pipelines.databases.synthetic_faces.nuisance import Nuisance

_GRAIN = 512
_X = np.arange(SIZE, dtype=np.float32) - np.float32(SIZE / 2)
_Y = _X[:, None]
_ACROSS, _DOWN = (np.ascontiguousarray(axis) for axis in np.broadcast_arrays(_X, _Y))


@functools.cache
def _grain(grey: bool) -> np.ndarray:
    """Sensor noise of unit variance, float32 (512, 512, 3): photographs cut theirs from it."""
    rng = np.random.Generator(np.random.Philox(11))
    common = rng.standard_normal((_GRAIN, _GRAIN, 1), np.float32)
    coloured = rng.standard_normal((_GRAIN, _GRAIN, 3), np.float32)
    return np.repeat(common, 3, 2) if grey else 0.75 * common + 0.66 * coloured


def background(shot: Nuisance, rng: np.random.Generator) -> np.ndarray:
    """A gradient, soft blobs and an edge between the scene's colours, float32 (3, 112, 112)."""
    first, second, third = shot.background
    low, high = (0, -40, 0, 0.15), (2 * np.pi, 40, 2 * np.pi, 0.9)
    angle, offset, edge, scale = rng.uniform(low, high).tolist()
    slope = (math.cos(angle) * _X + math.sin(angle) * _Y) * 0.008 + 0.5
    shift = rng.uniform(256, 512, 2).tolist()
    blobs = noise(_ACROSS, _DOWN, (scale, scale), shift, 6.0)
    mix = np.minimum(np.maximum(slope + 0.6 * shot.texture * blobs, 0), 1)
    scene = first[:, None, None] + (second - first)[:, None, None] * mix
    border = ramp(math.cos(edge) * _X + math.sin(edge) * _Y - offset, 3)
    paint(scene, shot.texture * border, third)
    return scene


def expose(radiance: np.ndarray, shot: Nuisance) -> np.ndarray:
    """Linear radiance (3, 112, 112) to grey levels 0..255 of pixels, float32 (112, 112, 3).

    Exposure, the shoulder of the tone curve, gamma, and perhaps no colour.
    """
    linear = np.maximum(radiance, 0)
    linear *= shot.exposure
    shoulder = 0.55 * linear
    shoulder += 1
    linear *= 1 + 0.12 * linear
    linear /= shoulder
    if shot.grey:
        luma = 0.3 * linear[0] + 0.59 * linear[1] + 0.11 * linear[2]
        linear = [luma, luma * (1 - 0.6 * shot.sepia), luma * (1 - 2 * shot.sepia)]
    levels = cv2.pow(np.minimum(cv2.merge(list(linear)), 1.2), shot.contrast / 2.2)
    levels *= np.float32(255)
    return levels


def photograph(levels: np.ndarray, shot: Nuisance, rng: np.random.Generator) -> np.ndarray:
    """Lens, resolution, noise and JPEG: uint8 RGB (112, 112, 3)."""
    if shot.blur > 0.25:
        levels = cv2.GaussianBlur(levels, (5, 5), shot.blur)
    side = min(round(shot.resolution), SIZE)
    if side < SIZE:
        levels = cv2.resize(levels, (side, side), interpolation=cv2.INTER_AREA)
    row, column = rng.integers(0, _GRAIN - SIZE, 2)
    grain = _grain(shot.grey)[row : row + side, column : column + side]
    levels += np.float32(shot.noise) * grain
    if side < SIZE:
        levels = cv2.resize(levels, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    pixels = cv2.convertScaleAbs(np.maximum(levels, 0, out=levels))
    options = [cv2.IMWRITE_JPEG_QUALITY, shot.quality]
    _, code = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    return cv2.cvtColor(cv2.imdecode(code, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
