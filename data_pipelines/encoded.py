"""What every source of encoded images shares: a subclass says where the bytes are."""

import abc
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_pipelines import images
from data_pipelines.errors import InputError
from data_pipelines.preparation import Preparation


class EncodedSource(abc.ABC):
    """A random-access source over encoded images.

    Attributes:
      database: name of the database.
      keys: n names, unique; a tuple, or a sequence that makes them when they are asked for.
      identities: (n,) int64.
      preparation: how a face is cut out of a photo.
    """

    database: str
    keys: Sequence[str]
    identities: np.ndarray
    preparation: Preparation

    @abc.abstractmethod
    def encoded(self, row: int) -> bytes:
        """The image of a row as the database holds it.

        Raises:
          InputError: it cannot be read; the message gives the reason alone.
        """

    def identities_of(self, rows: np.ndarray) -> np.ndarray:
        """(m,) int64 identities of some rows, for sources that need not read all to know a few."""
        return self.identities[rows]

    def landmarks(self, row: int) -> np.ndarray | None:
        """(5, 2) landmarks in pixels that the database gives for a row, if it does."""
        return None

    def box(self, row: int) -> np.ndarray | None:
        """(4,) left, top, right, bottom in pixels that the database gives for a row, if it does."""
        return None

    def name(self, row: int) -> str:
        """What messages call a row."""
        return self.keys[row]

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Reads a face: {"image": (112, 112, 3) uint8 RGB, "identity", "key", "database"}.

        Raises:
          InputError: the image cannot be decoded, or no face is found; the message names the image
            and the reason.
        """
        row = range(len(self))[index]
        try:
            photo = images.decode(self.encoded(row))
            face = self.preparation(photo, self.landmarks(row), self.box(row))
        except InputError as error:
            raise InputError(f"{self.name(row)}: {error}") from None
        return {
            "image": face,
            "identity": int(self.identities[row]),
            "key": self.keys[row],
            "database": self.database,
        }

    def sha256(self, row: int) -> str | None:
        """SHA-256 of the encoded image, in hexadecimal; None where it cannot be read."""
        try:
            return hashlib.sha256(self.encoded(row)).hexdigest()
        except InputError:
            return None

    def fingerprint(self) -> str:
        """A digest of which images these are, in which order, and how they are prepared.

        Names count, contents do not: nothing is decoded.
        """
        return digest(self.database, self.preparation.describe(), self.contents())

    def contents(self) -> Any:
        """What `fingerprint` digests of the images; JSON values."""
        return list(self.keys)


def digest(*parts: Any) -> str:
    """SHA-256 of JSON values, in hexadecimal."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
