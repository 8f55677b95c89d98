"""Databases that `experiments.build_database` built: TFDS datasets, read without TensorFlow."""

import json
import os
from pathlib import Path
from typing import Any

from data_pipelines.databases import columns
from data_pipelines.encoded import EncodedSource
from data_pipelines.errors import InputError
from data_pipelines.preparation import Preparation

SPLIT = "faces"
QUARANTINE = "quarantine.jsonl"
_INFO = "dataset_info.json"
_METADATA = "metadata.json"
_DEPTH = 3  # NAME/CONFIG/VERSION within a folder of TFDS datasets


class Built(EncodedSource):
    """The faces of a built database, in the order of what it was built from.

    Attributes:
      folder: of the dataset.
      keys, identities, database: those of what it was built from, without the quarantined images.
    """

    def __init__(self, folder: Path, **preparation: Any):
        """Opens a dataset; reads no image.

        Args:
          folder: that holds `dataset_info.json`.
          **preparation: of `Preparation`. Images were prepared when they were built, so that the
            default leaves them as they are.

        Raises:
          InputError: not a dataset of ours or an incomplete one, or what `Preparation` raises.
        """
        import tensorflow_datasets as tfds  # takes a second: only where it is needed

        self.folder, self.preparation = folder, Preparation(**preparation)
        self.keys, self.identities = columns.read(folder)
        builder = tfds.builder_from_directory(folder)
        for path in builder.info.splits[SPLIT].filepaths:
            if not path.exists():
                raise InputError(f"{path}: no such file; the database is incomplete")
        as_they_are = {"image": tfds.decode.SkipDecoding()}
        self._records = builder.as_data_source(SPLIT, decoders=as_they_are)
        about = json.loads((folder / _METADATA).read_text(encoding="utf-8"))
        self.database, self._origin = about["database"], about["fingerprint"]
        if not len(self._records) == len(self.keys) == len(self.identities):
            raise InputError(f"{folder}: its keys, identities and images are not equally many")

    def encoded(self, row: int) -> bytes:
        try:
            return self._records[row]["image"]
        except Exception as error:  # array_record has no exception of its own
            raise InputError(f"the record cannot be read ({error})") from None

    def name(self, row: int) -> str:
        return f"{self.folder}: {self.keys[row]}"

    def contents(self) -> Any:
        return [self._origin, len(self)]


def open_built(spec: str | Path, **preparation: Any) -> Built:
    """Opens a built database.

    Args:
      spec: folder of a dataset, or one that holds a single dataset; or a name such as `ijbc` in
        TFDS's folder, which is $TFDS_DATA_DIR or ~/tensorflow_datasets.
      **preparation: of `Preparation`: `align`, `detector`, `quality`, `antialias`.

    Raises:
      InputError: no such database, or more than one; the message lists what there is.
    """
    from tensorflow_datasets.core.constants import get_default_data_dir

    root = Path(get_default_data_dir())
    folder = Path(spec) if Path(spec).is_dir() else root / spec
    found = datasets(folder)
    if len(found) == 1:
        return Built(found[0], **preparation)
    if found:
        there = ", ".join(map(str, found))
        raise InputError(f"{spec}: more than one built database is there: {there}")
    there = ", ".join(str(path.relative_to(root)) for path in datasets(root)) or "none"
    raise InputError(f"{spec}: no built database; in {root} there is: {there}")


def datasets(folder: Path) -> list[Path]:
    """The folders of finished datasets in a folder, itself included."""
    found = (path for depth in range(_DEPTH + 1) for path in folder.glob("*/" * depth + _INFO))
    return sorted(
        path.parent
        for path in found
        if not any(part.startswith("incomplete.") for part in path.relative_to(folder).parts)
    )


def quarantine(folder: Path) -> list[dict[str, str]]:
    """[{"key", "reason"}] of the images that a build left out."""
    with open(os.path.join(folder, QUARANTINE), encoding="utf-8") as file:
        return [json.loads(line) for line in file]
