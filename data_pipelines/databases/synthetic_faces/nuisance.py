"""What differs between two photographs of one person."""

import dataclasses

import numpy as np

from data_pipelines.databases.synthetic_faces.databases import Database
from data_pipelines.databases.synthetic_faces.identity import Identity, plain


@dataclasses.dataclass(frozen=True)
class Nuisance:
    """One photograph's circumstances: angles in radians, lengths in pixels, linear RGB light."""

    yaw: float
    pitch: float
    perspective: float
    zoom: float
    landmark_error: np.ndarray
    smile: float
    gap: float
    brow_raise: float
    openness: float
    gaze: np.ndarray
    asymmetry: float
    light: np.ndarray
    key: np.ndarray
    fill: np.ndarray
    ambient: np.ndarray
    shadow: float
    gloss: float
    exposure: float
    contrast: float
    grey: bool
    sepia: float
    background: np.ndarray
    texture: float
    cloth: np.ndarray
    glasses: bool
    flush: float
    resolution: float
    blur: float
    noise: float
    quality: int


def _face(rng: np.random.Generator, strength: float) -> dict:
    """Expression and gaze."""
    smiling = rng.random() < 0.5 * strength
    smile = rng.uniform(0.4, 1.0) if smiling else rng.normal(0.0, 0.18)
    opened = rng.random() < (0.55 if smiling else 0.2) * strength
    return {
        "smile": smile,
        "gap": rng.uniform(1.2, 4.5) if opened else 0.0,
        "brow_raise": rng.normal(0.0, 1.1) * strength,
        "openness": min(max(rng.normal(0.98 - 0.2 * max(smile, 0), 0.14), 0.45), 1.3),
        "gaze": rng.normal(0.0, (1.3, 0.5)),
        "asymmetry": rng.normal(0.0, 0.5) * strength,
        "flush": rng.normal(0.0, 0.05),
    }


def _light(rng: np.random.Generator, database: Database) -> dict:
    """A key light from anywhere in front, a weaker fill from the other side, and ambient light."""
    azimuth = np.radians(min(max(rng.normal(0, database.light_spread), -95), 95))
    elevation = np.radians(rng.normal(28, 20))
    direction = np.array(
        [
            np.sin(azimuth) * np.cos(elevation),
            -np.sin(elevation),
            np.cos(azimuth) * np.cos(elevation),
        ]
    )
    cast = rng.normal(0, database.cast, 3) + 0.11 * database.warmth * np.array([1, 0, -1])
    tint = np.exp(rng.normal(0, 0.08, (3, 3)) + cast)
    ambient = rng.uniform(*database.ambient)
    fill = rng.uniform(0.0, 0.35)
    return {
        "light": direction,
        "key": (1 - ambient) * 1.75 * tint[0],
        "fill": (1 - ambient) * fill * tint[1],
        "ambient": ambient * 0.95 * tint[2],
        "shadow": rng.uniform(0.25, 0.85),
        "gloss": rng.uniform(0.02, 0.22),
        "exposure": np.exp(rng.uniform(*np.log(database.exposure))),
    }


def _camera(rng: np.random.Generator, database: Database) -> dict:
    """Framing, sensor and compression."""
    grey = bool(rng.random() < database.greyscale)
    return {
        "perspective": rng.uniform(*database.perspective) / 1000,
        "zoom": database.zoom * np.exp(rng.normal(0, 0.015)),
        "landmark_error": rng.normal(0, database.jitter, (5, 2)),
        "contrast": rng.uniform(*database.contrast),
        "grey": grey,
        "sepia": rng.uniform(0, 0.12) if grey and rng.random() < 0.4 else 0.0,
        "resolution": rng.uniform(*database.resolution),
        "blur": rng.uniform(0, database.blur),
        "noise": rng.uniform(*database.noise),
        "quality": int(rng.uniform(*database.quality)),
    }


def _scenery(rng: np.random.Generator) -> np.ndarray:
    """Three colours of the surroundings, mostly muted, linear RGB (3, 3)."""
    grey = rng.random((3, 1)) ** 1.8
    return grey + rng.random((3, 1)) * 0.6 * (rng.random((3, 3)) ** 1.8 - grey)


def draw(rng: np.random.Generator, database: Database, identity: Identity) -> Nuisance:
    """Draws the circumstances of one photograph of one person in one database."""
    turn = np.clip(rng.standard_normal(2), -2.2, 2.2)
    values = dict(
        yaw=np.radians(database.yaw * turn[0]),
        pitch=np.radians(database.pitch * turn[1]),
        **_face(rng, database.expression),
        **_light(rng, database),
        **_camera(rng, database),
        background=_scenery(rng),
        texture=database.texture * rng.random(),
        cloth=(rng.random(3) ** 2 * 0.6).astype(np.float32),
        glasses=identity.glasses and bool(rng.random() < 0.85),
    )
    return Nuisance(**plain(values))
