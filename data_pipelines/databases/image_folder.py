"""A folder of images, a sub-folder for each person."""

import os
from pathlib import Path
from typing import Any

from data_pipelines import images
from data_pipelines.databases.listing import number
from data_pipelines.encoded import EncodedSource
from data_pipelines.errors import InputError
from data_pipelines.preparation import Preparation


class ImageFolder(EncodedSource):
    """Images of a folder and its sub-folders, in the order of their names.

    An image's identity is its sub-folder; an image directly in the folder is its own identity.

    Attributes:
      keys: (n,) tuple of paths relative to the folder, with forward slashes.
      identities: (n,) int64.
      database: the folder's name.
    """

    def __init__(self, path: str | Path, **preparation: Any):
        """Lists the folder; reads no image.

        Args:
          path: the folder.
          **preparation: of `Preparation`: `align`, `detector`, `quality`, `antialias`.

        Raises:
          InputError: no such folder, no image in it, or what `Preparation` raises.
        """
        self.path, self.preparation = Path(path), Preparation(**preparation)
        self.database = self.path.resolve().name
        self.keys = _list_images(self.path)
        self.identities = number(key.rpartition("/")[0] or f"/{key}" for key in self.keys)

    def encoded(self, row: int) -> bytes:
        return images.read_bytes(self.name(row))

    def name(self, row: int) -> str:
        return os.path.join(self.path, self.keys[row])


def _list_images(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    keys = []
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = Path(parent).relative_to(folder)
        for name in names:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in images.SUFFIXES:
                keys.append((inside / name).as_posix())
    if not keys:
        known = ", ".join(sorted(images.SUFFIXES))
        raise InputError(f"{folder}: no images in it ({known})")
    return tuple(sorted(keys))
