"""A random-access source over a synthetic database."""

import operator

import numpy as np

from data_pipelines.databases.synthetic_faces import databases
from data_pipelines.databases.synthetic_faces.renderer import render
from data_pipelines.encoded import digest
from data_pipelines.errors import InputError


class SyntheticFaces:
    """People with the same number of photographs each, person by person.

    Attributes:
      identities: the person of every photograph, int64 (len,), without rendering.
    """

    def __init__(
        self,
        database: str = "studio",
        seed: int = 0,
        identities: int = 1000,
        images_per_identity: int = 8,
    ):
        """Renders nothing yet.

        Args:
          database: a name in `DATABASES`; people of different databases are different.
          seed: of everybody and everything in it.
          identities: how many people; the first N are the same for every N.
          images_per_identity: photographs of each; the first K are the same for every K.

        Raises:
          InputError: an unknown database, or a count or seed out of range.
        """
        databases.get(database)
        for name, value, least in (
            ("seed", seed, 0),
            ("identities", identities, 1),
            ("images_per_identity", images_per_identity, 1),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"{name} must be an integer >= {least}, not {value!r}")
        self.database, self.seed = database, seed
        self.images_per_identity = images_per_identity
        self.identities = np.repeat(np.arange(identities), images_per_identity)

    @property
    def keys(self) -> tuple[str, ...]:
        """The key of every photograph, without rendering."""
        return tuple(self._key(position) for position in range(len(self)))

    def _key(self, position: int) -> str:
        person, image = divmod(position, self.images_per_identity)
        return f"{self.database}/{person:06d}/{image:03d}"

    def __len__(self) -> int:
        return len(self.identities)

    def __getitem__(self, index) -> dict:
        """Photograph `index`: {"image": uint8 (112, 112, 3), "identity", "key", "database"}."""
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            raise IndexError(f"index {position} of {len(self)} photographs")
        position %= len(self)
        person, image = divmod(position, self.images_per_identity)
        return {
            "image": render(self.seed, person, image, self.database),
            "identity": person,
            "key": self._key(position),
            "database": self.database,
        }

    def fingerprint(self) -> str:
        """A digest of which photographs these are."""
        return digest(self.database, self.seed, len(self), self.images_per_identity)
