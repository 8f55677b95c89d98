"""Skin with its colour, marks and wrinkles; beard, scalp hair, glasses."""

import numpy as np

from data_pipelines.databases.synthetic_faces.canvas import (
    Canvas,
    bell,
    dim,
    length,
    noise,
    paint,
    ramp,
    spot,
)
from data_pipelines.databases.synthetic_faces.geometry import mouth_corners
from data_pipelines.databases.synthetic_faces.identity import Identity
from data_pipelines.databases.synthetic_faces.nuisance import Nuisance


def complexion(person: Identity, shot: Nuisance, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The bare skin's albedo, float32 (3, 112, 112)."""
    seed = person.texture
    blotch = noise(u, v, (0.8, 0.8), (seed[0], seed[1]), 6.0)
    fine = noise(u, v, (2.0, 2.0), (seed[2], seed[3]), 0.9)
    blotch *= person.mottle
    fine *= 0.025 + 0.02 * person.age
    blotch += fine
    blotch += 1
    across = np.abs(u)
    cheek = np.minimum(np.abs(across - 21), across * 1.6)
    cheek *= 1 / 11
    blush = (person.ruddiness + shot.flush) * spot(cheek, (v - 19) * 0.1)
    albedo = person.skin[:, None, None] * blotch
    dim(albedo, blush, (0.05, 0.5, 0.45))
    if person.freckles:
        spots = noise(u, v, (1.1, 1.1), (seed[4], seed[5]), 0.95)
        spots = ramp(spots - 1.25, 0.9) * spot(u / 30, (v - 14) / 15)
        dim(albedo, np.float32(0.5 * person.freckles) * spots, (0.55, 0.85, 1.0))
    return albedo


def marks(canvas: Canvas, person: Identity, shot: Nuisance) -> None:
    """Moles, forehead lines, folds beside the mouth."""
    for u, v, radius, strength in person.moles:
        window = canvas.window(u, v, radius + 2, radius + 2)
        if window.u.size:
            window.darken(strength * ramp(radius - length(window.u, window.v), 0.9), (0.8, 1, 1))
    half, rise = mouth_corners(person, shot)
    window = canvas.window(0, 31, 26, 15)
    if window.u.size:
        x, y = np.abs(window.u), window.v
        start, end = 1.25 * person.nose_width + 1.5, half + 3.5
        path = start + (end - start) * (y + 11) / 22
        fold = spot((x - path) / 1.4, (y - 1) / 9)
        depth = 0.05 + 0.30 * person.age + 0.22 * max(shot.smile, 0)
        window.darken(np.float32(depth) * fold)
    if person.age > 0.35:
        window = canvas.window(0, -25, 26, 9)
        if window.u.size:
            bend = window.v + 0.006 * window.u * window.u + 0.2 * person.texture[0] % 3
            lines = bell((np.remainder(bend, 5.2) - 2.6) / 0.7)
            lines *= spot(window.u / 20, window.v / 8)
            window.darken(np.float32(0.4 * (person.age - 0.3)) * lines)


def beard(canvas: Canvas, person: Identity) -> None:
    """Moustache, chin and cheek beard, down to stubble."""
    if person.beard_density <= 0:
        return
    window = canvas.window(0, 40, 36, 31)
    u, v = window.u, window.v + np.float32(40)
    moustache, chin, cheeks = person.beard if person.beard.any() else np.ones(3, np.float32)
    lip = person.mouth_v
    half = person.mouth_width
    across = np.abs(u)
    base = person.nose_tip + 6
    side = np.maximum(across - half - 2, 0)
    upper = ramp(v - base, 3) * ramp(lip + 2 - v, 3) * ramp(half + 2 - across, 5)
    upper *= 1 - 0.35 * bell(u / 1.5)
    amount = moustache * upper
    if chin:
        lower = ramp(v - lip - 5, 4) * ramp(0.8 * half - across, 6)
        amount = np.maximum(amount, chin * lower)
    if cheeks:
        line = lip + 4 - 0.055 * side * side - 0.9 * side
        jaw = ramp(v - line, 7) * ramp(across - half - 1, 5)
        below = ramp(v - lip - person.lip_lower - 4, 5)
        amount = np.maximum(amount, cheeks * np.maximum(jaw, below))
    hairs = noise(u, v, (1.6, 1.1), (person.texture[4], person.texture[2]), 0.75, 1.6)
    amount = amount * person.beard_density * (0.86 + 0.2 * hairs)
    colour = (0.9 * person.hair + 0.05 * person.skin)[:, None, None] * (1 + 0.25 * hairs)
    window.blend(np.minimum(np.maximum(amount, 0), 0.93), colour)


def strands(person: Identity, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Brightness of hair: strands along their direction, more isotropic where it curls."""
    seed, curl = person.texture, person.hair_curl
    wave = 2.5 * curl * np.sin(v * 0.35 + seed[3] + 0.05 * u)
    along = noise(u * 1.3 + wave, v * 0.35 + 0.15 * np.abs(u), (1, 1), (seed[0], 0), 0.9, 4.0)
    lumps = noise(u, v, (0.9, 0.9), (seed[1], seed[2]), 2.0)
    along *= 0.22 * (1 - 0.6 * curl)
    lumps *= 0.26 * (0.3 + curl)
    along += lumps
    along += 1
    return along


def curtain(person: Identity, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Coverage of long hair behind the face, on the plane of the neck, float32 (112, 112)."""
    crown = np.minimum(v - 6, 0) * np.float32(1 / 62)
    edge = person.hair_back * np.sqrt(np.maximum(1 - crown * crown, 0))
    edge += np.minimum(edge * 0.1, 1.5) * noise(u, v, (0, 0.6), (person.texture[1], 0), 1.2, 2.0)
    hem = ramp(person.hair_bottom - v - 0.012 * u * u, 8)
    return ramp(edge - np.abs(u), 3) * (hem * ramp(v + 54, 2))


def scalp_cover(canvas: Canvas, person: Identity, outer: np.ndarray) -> np.ndarray:
    """Coverage of scalp hair in front of the face, float32 (112, 112)."""
    u, v = canvas.view.u, canvas.view.v
    across = np.abs(u)
    line = 0.006 * u
    line += person.hair_slant
    line *= u
    line += person.hairline
    line += person.hair_peak * np.maximum(1 - across * 0.14, 0)
    across -= person.hair_temple
    line += ramp(across, 7) * (person.hair_bottom - line)
    rough = noise(u, v, (1.2, 0.4), (person.texture[5], 0), 1.2, 2.0)
    rough *= 1.3
    line -= v
    line += rough
    cover = ramp(line, 3.5)
    cover *= ramp((outer - 0.62) * 50, 12)
    cover *= person.hair_amount
    return cover


def scalp(canvas: Canvas, person: Identity, outer: np.ndarray) -> np.ndarray:
    """Paints scalp hair, with its shadow on the forehead; returns its coverage."""
    whole = scalp_cover(canvas, person, outer)
    rows = int(np.flatnonzero(whole.any(1)).max(initial=-1)) + 1
    part = slice(min(rows + 3, len(whole)))
    cover, albedo = whole[part], canvas.albedo[:, part]
    shadow = 0.28 * np.roll(cover, 3, 0)
    dim(albedo, (1 - cover) * shadow)
    colour = strands(person, canvas.view.u[part], canvas.view.v[part])
    paint(albedo, cover, person.hair[:, None, None] * colour)
    return whole


def glasses(canvas: Canvas, person: Identity) -> None:
    """Frames, bridge, temples and a trace of reflection."""
    half_u, half_v, power, thick = person.glasses_shape
    window = canvas.window(0, 0, 46, 20)
    u, v = window.u, window.v
    x = (np.abs(u) - max(person.eye_u, half_u + 2.2)) / half_u
    y = (v - 1.2) / half_v
    radius = np.power(np.abs(x) ** power + np.abs(y) ** power, 1 / power) - 1
    scale = 0.5 * (half_u + half_v)
    frame = ramp(thick * 0.5 + 0.35 - np.abs(radius) * scale)
    bridge = ramp(person.eye_u - half_u + 0.5 - np.abs(u)) * ramp(0.7 - np.abs(v + 1.8), 1.2)
    temple = ramp(np.abs(u) - person.eye_u - half_u + 1) * ramp(0.9 - np.abs(v + 2.5), 1.2)
    cover = np.maximum(frame, np.maximum(bridge, temple)) * ramp(46 - np.abs(u), 2)
    window.darken(0.1 * ramp(-radius * scale))
    window.blend(cover, person.glasses_colour)
