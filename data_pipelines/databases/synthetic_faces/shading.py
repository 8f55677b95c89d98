"""Light on the head: one pass on the grid of head coordinates, sampled at the pixels."""

import cv2
import numpy as np

from data_pipelines.databases.synthetic_faces import geometry
from data_pipelines.databases.synthetic_faces.nuisance import Nuisance

_SHADOW_STEPS = (2, 4, 7, 12)


def _cast_shadow(height: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Soft occlusion in [0, 1] of each grid point along the light's direction."""
    flat = max(float(np.hypot(light[0], light[1])), 1e-3)
    rise = max(float(light[2]), 0.05) / flat
    worst = np.zeros_like(height)
    right, down, _ = light.tolist()
    for step in _SHADOW_STEPS:
        du, dv = round(step * right / flat), round(step * down / flat)
        blocker = np.roll(height, (-dv, -du), (0, 1))
        blocker -= height
        blocker -= np.float32(rise * step * geometry.STEP)
        blocker *= np.float32(1 / (1.0 + 0.25 * step))
        np.maximum(worst, blocker, out=worst)
    return np.minimum(worst, 1, out=worst)


def illuminate(head: geometry.Head, view: geometry.View, nuisance: Nuisance) -> np.ndarray:
    """Key light, fill light, ambient light and gloss at every pixel: float32 (112, 112, 4)."""
    key = nuisance.light @ view.rotation
    fill = (nuisance.light * (-1, 0.4, 1) + (0, 0, 0.3)) @ view.rotation
    eye = np.array([0, 0, 1.0]) @ view.rotation
    half = (key + eye) / np.linalg.norm(key + eye)
    up = np.array([0, -1.0, 0]) @ view.rotation
    du, dv = geometry.slopes(head.height)
    length = 1 / np.sqrt(1 + du * du + dv * dv)

    def facing(direction):
        a, b, c = direction.tolist()
        cosine = du * -a
        cosine += dv * -b
        cosine += c
        cosine *= length
        return cosine

    lit = np.maximum(facing(key) * 0.85 + 0.15, 0)
    lit *= 1 - np.float32(nuisance.shadow) * _cast_shadow(head.height, key)
    second = np.maximum(facing(fill), 0)
    around = 0.62 + facing(0.18 * up + 0.2 * eye)
    gloss = np.maximum(facing(half), 0)
    for _ in range(4):
        gloss *= gloss
    fields = cv2.merge([lit, second, around, gloss])
    return geometry.lookup(fields, view.columns, view.rows)
