"""From (seed, identity, image, database) to a photograph."""

import functools

import cv2
import numpy as np

from data_pipelines.databases.synthetic_faces import (
    camera,
    databases,
    features,
    geometry,
    identity,
    nuisance,
    shading,
    skin,
)
from data_pipelines.databases.synthetic_faces.canvas import Canvas, bell, dim, paint, ramp


def _generator(*words: int) -> np.random.Generator:
    """An independent stream for every tuple of words."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))


@functools.lru_cache(256)
def person(seed: int, number: int, database: str = "studio") -> identity.Identity:
    """The parameters of one person of a database."""
    return identity.draw(_generator(seed, databases.get(database).salt, number))


def _behind(someone, shot, view, scene: np.ndarray) -> None:
    """Paints long hair, clothes and neck behind the face over the scene (3, 112, 112)."""
    if someone.hair_back:
        cover = skin.curtain(someone, view.back_u, view.back_v)
        colour = skin.strands(someone, view.back_u, view.back_v)
        paint(scene, cover, (0.6 * someone.hair)[:, None, None] * colour)
    chin = someone.contour[0] + 8
    start = int((view.back_v.max(1) > chin - 27).argmax())
    u, v, part = view.back_u[start:], view.back_v[start:], scene[:, start:]
    across = np.abs(u)
    cloth = ramp(v - chin - 16 - 0.25 * across, 2)
    neck = ramp(0.62 * someone.width + 0.05 * (v - chin) - across, 2) * ramp(v - chin + 25, 2)
    neck = neck * (1 - 0.9 * cloth)
    shade = 0.5 + 0.12 * ramp(v - chin - 8, 16)
    paint(part, cloth, shot.cloth)
    paint(part, neck, someone.skin[:, None, None] * shade)


def _paint(someone, shot, head, view) -> tuple[Canvas, np.ndarray, np.ndarray]:
    """The head's albedo and gloss, its coverage of the image, and the share that is hair."""
    face, inner, outer = cv2.split(geometry.lookup(head.rims, view.columns, view.rows))
    albedo = skin.complexion(someone, shot, view.u, view.v)
    canvas = Canvas(head, view, albedo, np.zeros_like(face))
    seam = bell((inner - 1.0) / 0.03) * (view.v < 26) * 0.45
    dim(albedo, seam)
    skin.beard(canvas, someone)
    skin.marks(canvas, someone, shot)
    features.paint(canvas, someone, shot)
    hair = skin.scalp(canvas, someone, outer)
    if shot.glasses:
        skin.glasses(canvas, someone)
    radius = np.float32(42)
    skin_cover = ramp((1 - face) * radius)
    return canvas, np.maximum(skin_cover, hair * ramp((1 - outer) * radius, 2)), hair


def render(seed: int, number: int, image: int, database: str = "studio") -> np.ndarray:
    """One photograph of one person.

    Args:
      seed: of the whole collection, >= 0.
      number: the person within the database, >= 0.
      image: the photograph of this person, >= 0.
      database: a name in `DATABASES`.

    Returns:
      uint8 RGB (112, 112, 3), aligned to the ArcFace template; equal arguments give equal bytes.

    Raises:
      InputError: there is no such database.
    """
    settings = databases.get(database)
    someone = person(seed, number, database)
    rng = _generator(seed, settings.salt, number, image)
    shot = nuisance.draw(rng, settings, someone)
    head = geometry.build(someone, shot)
    view = geometry.look(head, shot)
    canvas, cover, hair = _paint(someone, shot, head, view)
    light = shading.illuminate(head, view, shot)
    gloss = 0.5 * shot.gloss * cv2.extractChannel(light, 3) * (1 - 0.6 * hair)
    gloss += 0.5 * canvas.gloss
    colours = np.stack([shot.key, shot.fill, shot.ambient, 0 * shot.key], 1)
    for k, received in enumerate(cv2.split(cv2.transform(light, colours))):
        canvas.albedo[k] *= received
        canvas.albedo[k] += float(shot.key[k] + 0.3 * shot.ambient[k]) * gloss
    scene = camera.background(shot, rng)
    _behind(someone, shot, view, scene)
    scene *= (shot.ambient + 0.5 * shot.key)[:, None, None]
    paint(scene, cover, canvas.albedo)
    return camera.photograph(camera.expose(scene, shot), shot, rng)
