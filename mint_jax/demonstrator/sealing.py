"""Found faces on their way through the visitor's browser: the server keeps nothing meanwhile.

They travel in a form field that nobody else can read or change (Fernet: AES-CBC and HMAC-SHA-256),
under a key that ends with the process.
"""

import json
import time
import zlib
from collections.abc import Callable, Sequence

import numpy as np
from cryptography.fernet import Fernet, InvalidToken

from mint_jax.demonstrator.examiner import SHAPE, Face, PhotoError
from mint_jax.demonstrator.refusals import Refused
from mint_jax.demonstrator.running import Photo

HOURS = 24  # WCAG 2.2, success criterion 2.2.1, leaves people 20 hours or asks to let them extend


class Sealer:
    """Seals photos whose faces were found, and opens what it sealed."""

    def __init__(self, clock: Callable[[], float] = time.time):
        self._fernet, self._clock = Fernet(Fernet.generate_key()), clock

    def seal(self, photos: Sequence[Photo]) -> str:
        """Photos without findings as ASCII text, which `Limits.sealed_bytes` bounds."""
        about = json.dumps([_about(photo) for photo in photos]).encode()
        pixels = [face.image.tobytes() for photo in photos for face in photo.faces]
        packed = zlib.compress(b"\n".join([about, b"".join(pixels)]))
        return self._fernet.encrypt_at_time(packed, int(self._clock())).decode()

    def open(self, text: str) -> list[Photo]:
        """The photos that were sealed.

        Raises:
          Refused: the text was changed, is too old, or is of another process.
        """
        try:
            packed = self._fernet.decrypt_at_time(text.encode(), HOURS * 3600, int(self._clock()))
        except InvalidToken:
            raise Refused(400, "sealed") from None
        about, pixels = zlib.decompress(packed).split(b"\n", 1)
        images = iter(np.frombuffer(pixels, np.uint8).reshape(-1, *SHAPE))
        return [
            Photo(
                own["name"],
                own["sha256"],
                [Face(tuple(box), next(images), tuple(place)) for box, place in own["faces"]],
                error=own["error"] and PhotoError(own["error"][0], **own["error"][1]),
            )
            for own in json.loads(about)
        ]


def _about(photo: Photo) -> dict:
    """All but pixels as JSON values."""
    return {
        "name": photo.name,
        "sha256": photo.sha256,
        "faces": [(face.box, list(map(float, face.placement))) for face in photo.faces],
        "error": photo.error and (photo.error.code, photo.error.details),
    }
