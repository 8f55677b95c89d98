"""Eyes, brows, nose and mouth, painted in small windows around each."""

import numpy as np

from data_pipelines.databases.synthetic_faces.canvas import (
    Canvas,
    bell,
    length,
    noise,
    ramp,
    spot,
)
from data_pipelines.databases.synthetic_faces.geometry import mouth_corners
from data_pipelines.databases.synthetic_faces.identity import Identity
from data_pipelines.databases.synthetic_faces.nuisance import Nuisance

_SCLERA = np.array((0.62, 0.58, 0.56), np.float32)
_TEETH = np.array((0.66, 0.62, 0.55), np.float32)
_DARK = np.array((0.02, 0.012, 0.010), np.float32)


def eye(canvas: Canvas, person: Identity, shot: Nuisance, side: int) -> None:
    """One eye; `side` is -1 or 1. Local x grows outwards."""
    wide, tall = person.eye_width, person.eye_height
    window = canvas.window(side * person.eye_u, 0, 1.5 * wide, 3.2 * tall + 1)
    if not window.u.size:
        return
    x, y = window.u * side, window.v
    y = y + np.float32(person.eye_slant) * x
    xn = x / wide
    arch = np.maximum(1 - xn * xn, 0)
    top = np.float32(-tall * shot.openness) * arch * (1.05 - 0.18 * xn)
    bottom = np.float32(0.62 * tall + 0.35) * arch * (1 + 0.15 * xn)
    bottom -= np.float32(0.9 * max(shot.smile, 0)) * arch
    socket = spot(xn / 1.35, (y + 1.2) / (2.3 * tall))
    window.darken(0.22 * socket, (0.8, 1.0, 1.05))
    crease = bell((y - top + person.eye_crease) / 0.85) * np.minimum(arch * 2.5, 1)
    window.darken(0.42 * crease)
    bag = spot((y - bottom - 3.2) / 1.5, xn / 0.9)
    window.darken(np.float32(0.06 + 0.26 * person.age) * bag)
    inside = ramp(y - top) * ramp(bottom - y) * (arch > 0)
    shade = np.float32(0.55 + 0.45 * person.skin[1] ** 0.5)
    lid_shadow = 0.45 + 0.55 * ramp(y - top - 1.4, 3.0)
    window.blend(inside, _SCLERA[:, None, None] * (shade * lid_shadow))
    gaze_u, gaze_v = shot.gaze
    d = length(x - np.float32(side * gaze_u), y - np.float32(gaze_v - 0.35))
    radius = person.iris_radius
    limbus = 1 - 0.55 * ramp(d - radius + 0.9, 1.2)
    colour = person.iris[:, None, None] * (limbus * lid_shadow)
    window.blend(inside * ramp(radius - d), colour)
    window.blend(inside * ramp(0.42 * radius - d), _DARK)
    lash = bell((y - top + 0.25) / np.float32(person.lash)) * np.minimum(arch * 3, 1)
    window.blend(0.9 * lash, _DARK)
    lower = bell((y - bottom) / 0.7) * np.minimum(arch * 3, 1)
    window.darken(np.float32(0.25 + 0.2 * (person.lash - 0.8)) * lower)
    beside, above = x - side * (gaze_u + 2.0 * shot.light[0]), y - gaze_v + 1.5
    glint = spot(beside / 0.8, above / 0.8)
    window.gloss[...] += 0.8 * glint * inside


def brow(canvas: Canvas, person: Identity, shot: Nuisance, side: int) -> None:
    """One eyebrow: a tapered arch of hair."""
    length, thick = person.brow_length, person.brow_thickness
    window = canvas.window(
        side * (person.eye_u - 0.3), person.brow_v - shot.brow_raise, 1.25 * length, 8
    )
    if not window.u.size:
        return
    x, y = window.u * side / length, window.v
    bent = (x - 0.25) * (x - 0.25)
    centre = person.brow_arch * (1.1 * bent - 0.6) + person.brow_tilt * x
    half = thick * (1.05 - 0.55 * x * x - 0.32 * x)
    grain = 1 + 0.28 * noise(window.u, window.v, (1.7, 0.9), (person.texture[0], 0), 0.8)
    cover = ramp(half - np.abs(y - centre), 1.6) * ramp((1.02 - np.abs(x)) * length, 3.0)
    colour = person.hair * 0.75 + 0.12 * person.skin
    window.blend(np.minimum(np.maximum(person.brow_density * cover * grain, 0), 1), colour)


def nose(canvas: Canvas, person: Identity) -> None:
    """Nostrils, the creases of the wings and the shade below the tip."""
    wide, tip = person.nose_width, person.nose_tip
    window = canvas.window(0, tip + 2, 1.9 * wide + 2, 13)
    if not window.u.size:
        return
    x, y = np.abs(window.u), window.v - 2
    window.darken(0.20 * spot(x / (0.9 * wide), (y - 4.6) / 2.4), (0.8, 1.0, 1.05))
    wing = spot((x - 1.1 * wide - 0.16 * (y - 1)) / 1.1, (y - 0.8) / 3.2)
    window.darken(0.38 * wing, (0.85, 1.0, 1.0))
    hole = length((x - 0.52 * wide) / (0.25 * wide), (y - 3.6 - 0.1 * x) / 1.15)
    window.blend(0.85 * ramp(1.15 - hole, 0.8), person.skin * np.float32(0.12))
    bridge = canvas.window(0, 0.35 * tip, 9, 0.6 * tip)
    if bridge.u.size:
        flank = (np.abs(bridge.u) - 1.6 * person.nose_bridge) / 2.2
        bridge.darken(0.10 * spot(flank, bridge.v / (0.6 * tip)))


def mouth(canvas: Canvas, person: Identity, shot: Nuisance) -> None:
    """Lips, the line between them and what an open mouth shows."""
    half, rise = mouth_corners(person, shot)
    gap = shot.gap
    window = canvas.window(0, person.mouth_v, 1.35 * half, 16)
    if not window.u.size:
        return
    x = window.u / half
    square = np.minimum(x * x, 1.6)
    y = window.v + np.float32(rise) * (square - 0.12) + np.float32(shot.asymmetry) * x
    arch = np.maximum(1 - square, 0)
    thin = 1 - 0.22 * shot.smile
    top = np.float32(-person.lip_upper * thin) * arch * (1.12 - person.lip_bow * bell(x / 0.2))
    bottom = np.float32(person.lip_lower * thin + gap) * np.sqrt(arch) * (0.35 + 0.65 * arch)
    window.darken(0.24 * spot((y - bottom - 2.4) / 1.8, x / 0.6))
    corner = spot((np.abs(x) - 1.0) / 0.13, y / 1.8)
    window.darken(0.5 * corner)
    grain = 1 + 0.07 * noise(window.u, window.v, (2, 0.6), (person.texture[1], 0), 0.9)
    lips = ramp(y - top, 1.3) * ramp(bottom - y, 1.3) * (arch > 0)
    tone = 1 - 0.22 * ramp(0.2 - y, 2.5)
    window.blend(0.93 * lips, person.lip_colour[:, None, None] * (grain * tone))
    window.gloss[...] += 0.12 * spot(x / 0.5, (y - 0.6 * bottom - 0.4) / 0.9)
    opening = np.float32(gap) * arch
    if gap > 0:
        hole = ramp(y + 0.2) * ramp(opening - y) * (arch > 0)
        teeth = ramp(0.75 * opening + 0.6 - y, 1.2) * (0.75 + 0.25 * arch)
        teeth *= min(gap / 2, 1)
        window.blend(hole, _DARK[:, None, None] + (_TEETH - _DARK)[:, None, None] * teeth)
    line = bell((y - 0.1) / 0.75) * np.minimum(arch * 6 + 0.2, 1) * (square < 1.05)
    window.darken((0.55 if gap > 0 else 0.8) * line)


def paint(canvas: Canvas, person: Identity, shot: Nuisance) -> None:
    """All features, in the order in which they overlap."""
    nose(canvas, person)
    mouth(canvas, person, shot)
    for side in (-1, 1):
        eye(canvas, person, shot, side)
        brow(canvas, person, shot, side)
