"""The databases: what is common to all photographs of one collection."""

import dataclasses
import zlib

from data_pipelines.errors import InputError


@dataclasses.dataclass(frozen=True)
class Database:
    """How the photographs of one collection are lit, framed, stored and aligned.

    Pairs are ranges from which each photograph draws uniformly unless said otherwise.

    Attributes:
      name: what keys begin with; it salts the identities, so databases share nobody.
      yaw, pitch: standard deviations of the head's pose, degrees.
      expression: how strongly expressions vary (1: as in posed collections).
      ambient: share of undirected light.
      light_spread: standard deviation of the light's azimuth, degrees.
      exposure: range of the exposure's factor.
      cast: standard deviation of the log gain of each colour channel.
      warmth: mean of the colour cast from blue (-1) to amber (+1).
      perspective: inverse camera distance in units of 1 / 1000 pixel.
      resolution: range of the side in pixels to which a photograph is reduced and enlarged again.
      blur: largest standard deviation of the lens blur, pixels.
      noise: range of the sensor noise's standard deviation, grey levels.
      quality: range of the JPEG quality.
      greyscale: share of photographs without colour.
      zoom: mean scale of the crop relative to the ArcFace template.
      jitter: standard deviation of the landmarks' error, pixels.
      contrast: range of the exponent of the tone curve.
      texture: how busy the background is.
    """

    name: str
    yaw: float = 11.0
    pitch: float = 6.0
    expression: float = 1.0
    ambient: tuple[float, float] = (0.18, 0.6)
    light_spread: float = 55.0
    exposure: tuple[float, float] = (0.7, 1.5)
    cast: float = 0.09
    warmth: float = 0.0
    perspective: tuple[float, float] = (0.8, 1.6)
    resolution: tuple[float, float] = (96.0, 112.0)
    blur: float = 0.6
    noise: tuple[float, float] = (1.0, 4.0)
    quality: tuple[float, float] = (75.0, 97.0)
    greyscale: float = 0.02
    zoom: float = 1.0
    jitter: float = 0.8
    contrast: tuple[float, float] = (0.85, 1.2)
    texture: float = 0.5

    @property
    def salt(self) -> int:
        """A 32-bit number that depends on the name alone."""
        return zlib.crc32(self.name.encode())


DATABASES = {
    database.name: database
    for database in (
        Database("studio"),
        Database(
            "webcam",
            yaw=9.0,
            pitch=9.0,
            expression=0.8,
            ambient=(0.35, 0.75),
            light_spread=70.0,
            exposure=(0.6, 1.3),
            cast=0.12,
            warmth=-0.5,
            perspective=(1.8, 3.2),
            resolution=(52.0, 88.0),
            blur=0.9,
            noise=(3.0, 8.0),
            quality=(35.0, 75.0),
            greyscale=0.0,
            zoom=1.03,
            jitter=1.3,
            contrast=(0.75, 1.0),
            texture=0.9,
        ),
        Database(
            "archive",
            yaw=8.0,
            pitch=4.0,
            expression=0.5,
            ambient=(0.2, 0.5),
            light_spread=45.0,
            exposure=(0.8, 1.7),
            cast=0.06,
            warmth=1.0,
            perspective=(0.5, 1.0),
            resolution=(60.0, 104.0),
            blur=0.9,
            noise=(3.0, 9.0),
            quality=(55.0, 90.0),
            greyscale=0.6,
            zoom=0.95,
            jitter=1.1,
            contrast=(0.9, 1.4),
            texture=0.25,
        ),
    )
}


def get(name: str) -> Database:
    """The database of that name.

    Raises:
      InputError: there is none; the message lists those that exist.
    """
    if name not in DATABASES:
        raise InputError(f"no synthetic database {name!r}; there are {', '.join(DATABASES)}")
    return DATABASES[name]
