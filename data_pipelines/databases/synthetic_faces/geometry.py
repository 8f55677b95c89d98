"""The head as a height map, and the camera that looks at it.

The head is z(u, v): a base that falls off towards the contour plus a sum of separable Gaussians
(one matrix product for all of them). The camera turns it, projects its five landmarks, fits the
similarity transform to the ArcFace template as an alignment program would, and casts a ray per
pixel on the height map, so that noses hide cheeks.
"""

import dataclasses
import functools

import cv2
import numpy as np

from data_pipelines.databases.synthetic_faces.identity import Identity
from data_pipelines.databases.synthetic_faces.nuisance import Nuisance

SIZE = 112
TEMPLATE = np.array(
    [
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ]
)
STEP = 1.75
_FLOOR = -45.0
_CENTRE_V = 8.0
_LEFT, _TOP = -70.0, -76.0
_U = np.arange(_LEFT, 70 + STEP, STEP, dtype=np.float32)
_V = np.arange(_TOP, 84 + STEP, STEP, dtype=np.float32)
_DISTANCE = np.hypot(_U[None], _V[:, None] - _CENTRE_V).astype(np.float32)
_DISTANCE = np.repeat(_DISTANCE[..., None], 3, 2)
_BINS = 360
_ANGLE = np.arctan2(np.abs(_U[None]), _V[:, None] - _CENTRE_V) / np.pi * (_BINS - 1)
_ANGLE = _ANGLE.astype(np.float32)
_DEGREES = np.linspace(0, 180, _BINS)
# Cosine series through the seven radii of a contour, evaluated at every bin.
_SERIES = np.cos(np.radians(_DEGREES)[:, None] * np.arange(7)) @ np.linalg.inv(
    np.cos(np.radians(np.arange(0, 181, 30))[:, None] * np.arange(7))
)
_ALONG = np.arange(SIZE, dtype=np.float32)


@dataclasses.dataclass(frozen=True)
class Head:
    """A head on the grid of head coordinates; fields are float32 (H, W).

    Attributes:
      height: z in pixels.
      rims: (H, W, 3), distance from the centre over the contour's radius, the contour being the
        skin's with ears, the skin's without, and that of the whole head with the hair's volume.
      landmarks: (5, 3): eyes, nose tip, mouth corners.
    """

    height: np.ndarray
    rims: np.ndarray
    landmarks: np.ndarray


@dataclasses.dataclass(frozen=True)
class View:
    """A camera's view of a head.

    Attributes:
      rotation: (3, 3), head to camera.
      columns, rows: grid positions of what each pixel sees, float32 (112, 112).
      u, v: head coordinates seen by each pixel, float32 (112, 112).
      back_u, back_v: the same on a plane behind the face, for neck and long hair.
      fit: (2, 3), camera plane to image, as rows of plain floats.
      perspective: inverse camera distance.
    """

    rotation: np.ndarray
    columns: np.ndarray
    rows: np.ndarray
    u: np.ndarray
    v: np.ndarray
    back_u: np.ndarray
    back_v: np.ndarray
    fit: list
    perspective: float

    def project(self, u: float, v: float, z: float) -> tuple[float, float]:
        """Image position of one head position; plain floats, as arrays of three are slow."""
        x, y, depth = (a * u + b * v + c * z for a, b, c in self.turn)
        grow = 1 / (1 - self.perspective * depth)
        (a, b, c), (d, e, f) = self.fit
        return a * x * grow + b * y * grow + c, d * x * grow + e * y * grow + f

    @functools.cached_property
    def turn(self) -> list:
        """The rotation as rows of plain floats."""
        return self.rotation.tolist()


def mouth_corners(identity: Identity, nuisance: Nuisance) -> tuple[float, float]:
    """Half the mouth's width and the rise of its corners under this expression, pixels."""
    smile = nuisance.smile
    return identity.mouth_width * (1 + 0.17 * smile), 2.6 * smile


def _bumps(identity: Identity, nuisance: Nuisance) -> np.ndarray:
    """Gaussians of the height map as rows (u, v, sigma u, sigma v, amplitude), u > 0 mirrored."""
    i, smile = identity, nuisance.smile
    mouth, _ = mouth_corners(identity, nuisance)
    tip, wide, lip = i.nose_tip, i.nose_width, i.mouth_v + 0.5 * nuisance.gap
    paired = [
        (15, i.brow_v + 1.5, 10, 4.5, i.brow_ridge),
        (i.eye_u - 1.0, 0, 8.5, 5.5, -i.eye_depth),
        (i.eye_u, 0.3, 4.8, 3.2, 2.6),
        (0.62 * wide, tip + 2.2, 0.34 * wide + 0.5, 3.0, 0.36 * i.nose_height),
        (24, 16, 9, 8, i.cheekbone),
        (36, -18, 7, 12, -3),
        (19, 25, 7, 6, 1.5 + 2.5 * smile),
    ]
    single = [
        (0, -3, i.nose_bridge, 7, 0.35 * i.nose_height),
        (0, 0.45 * tip, i.nose_bridge * 1.15, 6.5, 0.62 * i.nose_height),
        (0, tip - 1.0 - i.nose_up, 0.62 * wide, 4.6, i.nose_height),
        (0, lip - 2, 15, 10, 5),
        (0, lip - 0.5 * i.lip_upper - 1, 0.6 * mouth, 1.9, 0.7 * i.lip_upper),
        (0, lip + 0.6 * i.lip_lower + 0.8, 0.55 * mouth, 2.2, 0.65 * i.lip_lower),
        (0, lip, 0.7 * mouth, 1.4, -1.6),
        (0, i.mouth_v + 9, 9, 3, -2.6),
        (0, i.contour[0] + 3, 9, 6, i.chin),
        (0, -30, 22, 14, 4),
    ]
    return np.array(paired + [(-u, v, a, b, z) for u, v, a, b, z in paired] + single, np.float32)


def _contour(identity: Identity) -> np.ndarray:
    """The field `rims` of `Head`."""
    radius = _SERIES @ identity.contour
    ear = identity.ear * np.exp(-(((_DEGREES - 93) / 11) ** 4))
    rise = np.clip((_DEGREES - 96) / 36, 0, 1)
    reach = np.clip((identity.hair_bottom - 12) / 50, 0, 1) * np.clip((_DEGREES - 40) / 35, 0, 1)
    hair = identity.hair_volume * np.maximum(rise, 0.8 * reach)
    table = 1 / np.stack([radius + ear, radius, radius + np.maximum(ear, hair)], -1)
    rims = cv2.remap(
        table.astype(np.float32)[None],
        _ANGLE,
        np.zeros_like(_ANGLE),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    rims *= _DISTANCE
    return rims


@functools.lru_cache(64)
def _skull(identity: Identity) -> tuple[np.ndarray, np.ndarray]:
    """What no expression changes: the rims, and the height without the features."""
    rims = _contour(identity)
    _, inner, outer = cv2.split(rims)
    across = np.abs(_U / np.float32(identity.width)) ** 2.2
    along = ((_V - 10) / 60) ** 4
    height = identity.depth * (0.75 - 0.75 * across[None] - 0.3 * along[:, None])
    height -= 10 * np.minimum(inner, 1.3) ** 8
    height -= 130 * np.maximum(outer - 1, 0)
    return rims, height


def build(identity: Identity, nuisance: Nuisance) -> Head:
    """The head of a person under an expression."""
    rims, skull = _skull(identity)
    u, v, su, sv, amplitude = _bumps(identity, nuisance).T
    rows = np.exp(-0.5 * ((_V[:, None] - v) / sv) ** 2) * amplitude
    columns = np.exp(-0.5 * ((_U[:, None] - u) / su) ** 2)
    height = rows @ columns.T
    height += skull
    np.maximum(height, _FLOOR, out=height)
    mouth, rise = mouth_corners(identity, nuisance)
    flat = (
        (-identity.eye_u, 0.0),
        (identity.eye_u, 0.0),
        (0.0, identity.nose_tip - 0.6),
        (-mouth, identity.mouth_v - rise),
        (mouth, identity.mouth_v - rise),
    )
    return Head(height, rims, np.array([(u, v, sample(height, u, v)) for u, v in flat]))


def sample(field: np.ndarray, u: float, v: float) -> float:
    """The value of a field at one position of head coordinates (nearest grid point)."""
    row, column = round((v - _TOP) / STEP), round((u - _LEFT) / STEP)
    return field.item(row, column)


def lookup(field: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Bilinear values of a field (H, W) or (H, W, <=4) at positions of the grid (112, 112)."""
    return cv2.remap(field, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def slopes(height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """dz/du and dz/dv of a height map."""
    scale = 1 / (8 * STEP)
    options = {"ksize": 3, "scale": scale, "borderType": cv2.BORDER_REPLICATE}
    return cv2.Sobel(height, cv2.CV_32F, 1, 0, **options), cv2.Sobel(
        height, cv2.CV_32F, 0, 1, **options
    )


def _rotation(yaw: float, pitch: float) -> np.ndarray:
    """Head to camera: first pitch about u, then yaw about v."""
    c, s = np.cos(yaw), np.sin(yaw)
    k, t = np.cos(pitch), np.sin(pitch)
    return np.array([(c, 0, s), (0, 1, 0), (-s, 0, c)]) @ np.array(
        [(1, 0, 0), (0, k, -t), (0, t, k)]
    )


def _project(points: np.ndarray, rotation: np.ndarray, perspective: float) -> np.ndarray:
    turned = points @ rotation.T
    return turned[:, :2] / (1 - perspective * turned[:, 2:])


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[complex, complex]:
    """Least-squares similarity transform between points (n, 2) of the complex plane.

    Returns:
      (factor, shift): a point x + iy goes to factor * (x + iy) + shift.
    """
    a, b = (points[:, 0] + 1j * points[:, 1] for points in (source, target))
    middle_a, middle_b = complex(a.sum()) / len(a), complex(b.sum()) / len(b)
    a -= middle_a
    factor = complex(np.vdot(a, b - middle_b) / np.vdot(a, a))
    return factor, middle_b - factor * middle_a


def _rows(factor: complex, shift: complex) -> list[tuple[float, float, float]]:
    """The similarity transform as a (2, 3) matrix."""
    return [(factor.real, -factor.imag, shift.real), (factor.imag, factor.real, shift.imag)]


def look(head: Head, nuisance: Nuisance) -> View:
    """Poses the head, aligns it as a face recognition pipeline would, and casts the rays."""
    rotation = _rotation(nuisance.yaw, nuisance.pitch)
    plane = _project(head.landmarks, rotation, nuisance.perspective)
    target = (TEMPLATE + nuisance.landmark_error - SIZE / 2) * nuisance.zoom + SIZE / 2
    factor, shift = similarity(plane, target)
    inverse = _rows(1 / factor, -shift / factor)
    x, y = (a * _ALONG + (b * _ALONG)[:, None] + c for a, b, c in inverse)
    columns, rows = _cast(head.height, x, y, rotation, nuisance.perspective)
    back = rotation.T.astype(np.float32)
    depth = np.float32(-18)
    grow = 1 - np.float32(nuisance.perspective) * depth
    back_u = (back[0, 0] * x + back[0, 1] * y) * grow + back[0, 2] * depth
    back_v = (back[1, 0] * x + back[1, 1] * y) * grow + back[1, 2] * depth
    u, v = columns * STEP + _LEFT, rows * STEP + _TOP
    fit = _rows(factor, shift)
    return View(rotation, columns, rows, u, v, back_u, back_v, fit, nuisance.perspective)


def _cast(height, x, y, rotation, perspective, coarse=7, fine=3, rate=0.55):
    """Where on the grid each ray meets the height map: under-relaxed steps from the front."""
    start, slope = [], []
    scales = (1 / STEP, 1 / STEP, -rate)
    for row, scale, origin in zip(rotation.T, scales, (-_LEFT / STEP, -_TOP / STEP, 0.0)):
        a, b, c = (scale * row).tolist()
        part = a * x + b * y
        slope.append(c - perspective * part)
        start.append(part + origin)
    slope[2] += 1  # So that t -> start + slope * t + rate * height is one step.
    surface = height * np.float32(rate)
    half = [np.ascontiguousarray(part[::2, ::2]) for part in (*start, *slope)]
    t = np.full_like(half[0], 62.0)
    for _ in range(coarse):
        t = _step(surface, t, *half)
    t = cv2.resize(t, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    for _ in range(fine):
        t = _step(surface, t, *start, *slope)
    return start[0] + slope[0] * t, start[1] + slope[1] * t


def _step(surface, t, column, row, depth, to_column, to_row, to_depth):
    """The rays' next depth, from where they are over the surface at depth t."""
    columns, rows = to_column * t, to_row * t
    columns += column
    rows += row
    t = to_depth * t
    t += depth
    t += lookup(surface, columns, rows)
    return t
