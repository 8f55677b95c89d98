"""What makes a person: the parameters that all their photographs share.

Lengths are pixels of the aligned 112x112 image, in head coordinates: origin between the eyes,
u to the image's right, v down, z towards the camera. Colours are linear RGB albedos.
"""

import dataclasses

import numpy as np

# Linear RGB albedo of skin from light to dark, of hair from black to white, and of irises.
_SKIN = np.array(
    [
        (0.80, 0.58, 0.48),
        (0.70, 0.47, 0.36),
        (0.56, 0.35, 0.24),
        (0.40, 0.23, 0.145),
        (0.25, 0.135, 0.085),
        (0.14, 0.078, 0.052),
    ],
    np.float32,
)
_HAIR = np.array(
    [
        (0.018, 0.016, 0.016),
        (0.045, 0.028, 0.020),
        (0.11, 0.060, 0.033),
        (0.21, 0.085, 0.035),
        (0.34, 0.20, 0.085),
        (0.55, 0.39, 0.20),
        (0.30, 0.29, 0.28),
        (0.66, 0.65, 0.62),
    ],
    np.float32,
)
_IRIS = np.array(
    [(0.05, 0.022, 0.012), (0.13, 0.065, 0.025), (0.10, 0.13, 0.06), (0.12, 0.22, 0.34)],
    np.float32,
)


@dataclasses.dataclass(frozen=True, eq=False)
class Identity:
    """One person; see the module for units. `contour` holds seven radii from chin to crown."""

    contour: np.ndarray
    width: float
    depth: float
    ear: float
    brow_ridge: float
    cheekbone: float
    chin: float
    eye_u: float
    eye_width: float
    eye_height: float
    eye_slant: float
    eye_crease: float
    eye_depth: float
    lash: float
    iris: np.ndarray
    iris_radius: float
    brow_v: float
    brow_length: float
    brow_thickness: float
    brow_arch: float
    brow_tilt: float
    brow_density: float
    nose_tip: float
    nose_width: float
    nose_height: float
    nose_bridge: float
    nose_up: float
    mouth_v: float
    mouth_width: float
    lip_upper: float
    lip_lower: float
    lip_bow: float
    lip_colour: np.ndarray
    skin: np.ndarray
    ruddiness: float
    mottle: float
    freckles: float
    moles: np.ndarray
    age: float
    hair: np.ndarray
    hair_amount: float
    hairline: float
    hair_temple: float
    hair_bottom: float
    hair_slant: float
    hair_peak: float
    hair_volume: float
    hair_curl: float
    hair_back: float
    beard: np.ndarray
    beard_density: float
    glasses: bool
    glasses_shape: np.ndarray
    glasses_colour: np.ndarray
    texture: np.ndarray


def _within(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _palette(table: np.ndarray, position: float) -> np.ndarray:
    """Linear interpolation in a table of colours (K, 3); `position` in [0, K - 1]."""
    low = min(int(position), len(table) - 2)
    return table[low] + np.float32(position - low) * (table[low + 1] - table[low])


def _shape(rng: np.random.Generator, masculine: float) -> dict:
    """Head and features; `masculine` in [0, 1] correlates a few of them, as in people."""
    z = rng.standard_normal(40).clip(-2.2, 2.2).tolist()
    wide = 39.0 * (1 + 0.055 * z[0])
    jaw = 1 + 0.05 * z[1] + 0.07 * (masculine - 0.5)
    chin = 65.5 + 3.2 * z[2] + 2.0 * (masculine - 0.5)
    contour = np.array(
        [
            chin - 8.0,
            (48.0 + 1.7 * z[3]) * (0.5 + 0.5 * jaw),
            41.5 * jaw * (0.6 + 0.4 * wide / 39.0),
            wide * (1 + 0.03 * z[4]),
            wide * (1.08 + 0.025 * z[5]),
            57.5 + 2.0 * z[6],
            62.0 + 2.5 * z[7],
        ]
    )
    return {
        "contour": contour,
        "width": wide,
        "depth": 52.0 + 4.0 * z[8],
        "ear": max(0.5, 4.5 + 2.0 * z[9]),
        "brow_ridge": 2.2 + 1.6 * (masculine - 0.5) + 0.8 * z[10],
        "cheekbone": 3.4 + 2.0 * z[11],
        "chin": 6.0 + 2.2 * z[12],
        "eye_u": 17.6 + 1.15 * z[13],
        "eye_width": 8.7 + 0.85 * z[14],
        "eye_height": 3.2 + 0.65 * z[15],
        "eye_slant": 0.06 + 0.085 * z[16],
        "eye_crease": 2.0 + 0.8 * z[17],
        "eye_depth": 4.6 + 1.2 * z[18],
        "lash": _within(1.05 + 0.35 * (0.5 - masculine) + 0.25 * z[19], 0.5, 2.0),
        "iris_radius": 3.5 + 0.2 * z[20],
        "brow_v": -10.6 + 1.5 * z[21] + 1.6 * (masculine - 0.5),
        "brow_length": 11.5 + 1.2 * z[22],
        "brow_thickness": max(0.6, 1.75 + 0.55 * z[23] + 0.9 * (masculine - 0.5)),
        "brow_arch": 1.9 + 1.3 * z[24] - 1.0 * (masculine - 0.5),
        "brow_tilt": -0.4 + 1.3 * z[25],
        "brow_density": _within(0.72 + 0.18 * z[26], 0.25, 0.97),
        "nose_tip": 20.3 + 1.9 * z[27],
        "nose_width": 7.0 + 1.15 * z[28],
        "nose_height": 13.5 + 2.6 * z[29],
        "nose_bridge": 3.0 + 0.55 * z[30],
        "nose_up": 0.6 * z[31],
        "mouth_v": 40.4 + 1.5 * z[32],
        "mouth_width": 14.0 + 1.5 * z[33],
        "lip_upper": max(1.1, 3.0 + 0.85 * z[34]),
        "lip_lower": max(1.6, 4.1 + 0.95 * z[35]),
        "lip_bow": _within(0.3 + 0.16 * z[36], 0.0, 0.75),
        "mottle": 0.06 + 0.03 * abs(z[37]),
    }


def _colours(rng: np.random.Generator, age: float) -> dict:
    """Skin, hair, iris and lips; dark skin goes with dark hair and eyes more often than not."""
    tone = rng.uniform(0.0, 5.0)
    tint = rng.normal(0.0, 0.05, 3)
    skin = _palette(_SKIN, tone) * np.exp(tint - tint.mean())
    pale = _within(1.35 - tone / 3.0, 0.1, 1.0)
    shade = rng.uniform(0.0, 1.0 + 4.0 * pale) if rng.random() > 0.1 else rng.uniform(0, 5)
    hair = _palette(_HAIR, shade)
    grey = _within((age - 0.55) * 2.2 + rng.normal(0, 0.25), 0, 1) if age > 0.4 else 0.0
    hair = hair + grey * (_palette(_HAIR, 6.0 + rng.random()) - hair)
    iris = _palette(_IRIS, rng.uniform(0, 0.6 + 2.4 * pale) if pale > 0.35 else rng.uniform(0, 0.8))
    redder = np.array([0.88, 0.46, 0.48]) * rng.uniform(0.62, 0.98)
    return {
        "skin": skin.astype(np.float32),
        "hair": hair.astype(np.float32),
        "iris": iris.astype(np.float32),
        "lip_colour": (skin * redder + (0.04, 0.0, 0.005)).astype(np.float32),
        "ruddiness": rng.uniform(0.0, 0.35),
        "freckles": rng.uniform(0.3, 1.0) if tone < 2.4 and rng.random() < 0.25 else 0.0,
    }


def _hair(rng: np.random.Generator, masculine: float, age: float) -> dict:
    """The style of hair and beard."""
    long = rng.random() < 0.85 - 0.75 * masculine
    bald = masculine > 0.5 and rng.random() < 0.08 + 0.25 * age
    fringe = not bald and rng.random() < 0.28
    receding = 9.0 * age * masculine
    hairline = rng.uniform(-26, -15) if fringe else rng.uniform(-42, -32) - receding
    bottom = rng.uniform(18, 120) if long else rng.uniform(-14, 16)
    bearded = masculine > 0.5 and rng.random() < 0.5
    kind = rng.integers(4)
    styles = np.array([(1, 1, 1), (1, 0, 0.9), (0.8, 0.8, 0.35), (1, 0, 0)], np.float64)
    return {
        "hair_amount": float(rng.random() < 0.4) * 0.25 if bald else 1.0,
        "hairline": -75.0 if bald else hairline,
        "hair_temple": rng.uniform(24, 33) if long else rng.uniform(30, 36),
        "hair_bottom": bottom,
        "hair_slant": rng.normal(0.0, 0.16) + ((-0.3, 0.3)[rng.integers(2)] if fringe else 0.0),
        "hair_peak": 0.0 if fringe else rng.normal(0.0, 2.5),
        "hair_volume": 0.5 if bald else rng.uniform(2.0, 12.0),
        "hair_curl": rng.random() ** 1.5,
        "hair_back": rng.uniform(38, 56) if bottom > 40 else 0.0,
        "beard": styles[kind] * bearded,
        "beard_density": rng.uniform(0.3, 0.95) if bearded else 0.12 * (masculine > 0.5),
    }


def plain(values: dict) -> dict:
    """Python floats and float32 arrays: NumPy's float64 scalars would widen all arithmetic."""
    return {
        key: value.astype(np.float32)
        if isinstance(value, np.ndarray)
        else float(value)
        if isinstance(value, np.floating)
        else value
        for key, value in values.items()
    }


def draw(rng: np.random.Generator) -> Identity:
    """Draws a person."""
    masculine = _within((0.12, 0.88)[rng.integers(2)] + rng.normal(0, 0.12), 0, 1)
    age = rng.random() ** 1.3
    count = rng.integers(0, 5)
    moles = rng.uniform((-30, -30, 0.5, 0.3), (30, 56, 1.3, 0.85), (4, 4))[:count]
    frame = rng.uniform((11.0, 7.6, 2.0, 0.5), (13.5, 11.0, 5.0, 1.5))
    values = dict(
        **_shape(rng, masculine),
        **_colours(rng, age),
        **_hair(rng, masculine, age),
        age=age,
        moles=moles,
        glasses=bool(rng.random() < 0.2),
        glasses_shape=frame,
        glasses_colour=(rng.random(3) ** 3 * 0.25).astype(np.float32),
        texture=rng.uniform(256, 512, 6),
    )
    return Identity(**plain(values))
