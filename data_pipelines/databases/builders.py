"""TFDS builders of every database: any source becomes ArrayRecord files, without TensorFlow.

A row of the source is a row of the dataset, in the source's order; images that cannot be read are
left out and written down in `quarantine.jsonl` beside the data.
"""

import contextlib
import dataclasses
import fcntl
import functools
import io
import itertools
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import grain
import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from data_pipelines import images
from data_pipelines.alignment import SIZE, TEMPLATE, similarity
from data_pipelines.bin_pack import BinPack
from data_pipelines.databases.adience import Adience
from data_pipelines.databases.built import QUARANTINE, SPLIT
from data_pipelines.databases.columns import ColumnsWriter, encode
from data_pipelines.databases.fddb import Fddb
from data_pipelines.databases.gandiffface import GANDiffFace
from data_pipelines.databases.ijbc import Ijbc
from data_pipelines.databases.image_folder import ImageFolder
from data_pipelines.databases.synthetic_faces import SyntheticFaces
from data_pipelines.encoded import EncodedSource
from data_pipelines.errors import InputError
from data_pipelines.preparation import Preparation
from data_pipelines.recordio import RecordIOSource

_SHARD = 1 << 15  # rows of a file: 17 million rows are 522 files, fewer than a process may open
_AHEAD = 64  # images that are read before they are written
_FEATURES = tfds.features.FeaturesDict(
    {
        "image": tfds.features.Image(shape=(SIZE, SIZE, 3)),
        "identity": np.int64,
        "key": tfds.features.Text(),
        "database": tfds.features.Text(),
        "split": tfds.features.Text(doc="of the database itself; empty where it has none"),
        "landmarks": tfds.features.Tensor(
            shape=(5, 2),
            dtype=np.float32,
            doc="pixels of the image, where the database gives them; else NaN",
        ),
    }
)

Example = tuple[int, dict[str, Any]]


class DatabaseBuilder(tfds.core.ShardBasedBuilder, skip_registration=True):
    """Writes a source; a subclass says of which kind.

    TFDS's `GeneratorBasedBuilder` holds up to 1 GB in memory and needs TensorFlow beyond that, so
    this builder writes shard by shard.
    """

    VERSION = tfds.core.Version("1.0.0")
    READS: type

    def __init__(self, source: Any, data_dir: str | Path):
        """Prepares to build.

        Args:
          source: random-access source with `keys`, `identities`, `database` and `fingerprint()`.
          data_dir: folder of TFDS datasets. The dataset is NAME/CONFIG/VERSION in it; CONFIG is
            another one where the images or their preparation are others.
        """
        self.source, self._written = source, 0
        config = tfds.core.BuilderConfig(name=_variant(source))
        super().__init__(data_dir=data_dir, config=config, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        about = {"database": self.source.database, "fingerprint": self.source.fingerprint()}
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"Faces of {self.source.database}, {SIZE}x{SIZE}.",
            features=_FEATURES,
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(about),
        )

    def _shard_iterators_per_split(
        self, dl_manager: Any
    ) -> dict[str, list[Callable[[], Iterator[Example]]]]:
        del dl_manager
        rows, count = self._rows(), -(-len(self.source) // _SHARD)
        return {SPLIT: [functools.partial(self._shard, rows, i + 1 == count) for i in range(count)]}

    def _rows(self) -> Iterator["_Row"]:
        """Every row of the source in order, read in threads."""
        data = grain.MapDataset.range(len(self.source)).map(_Read(self.source))
        data = iter(data.to_iter_dataset(grain.ReadOptions(prefetch_buffer_size=_AHEAD)))
        try:
            yield from tqdm(data, f"building {self.name}", len(self.source), unit="image")
        finally:
            data.close()

    def _shard(self, rows: Iterator["_Row"], last: bool) -> Iterator[Example]:
        """The next rows; their columns, and what is bad, are written as they pass."""
        with (
            ColumnsWriter(self.data_path) as columns,
            open(self.data_path / QUARANTINE, "a", encoding="utf-8") as quarantine,
        ):
            for row in itertools.islice(rows, _SHARD):
                if row.error:
                    bad = row
                    quarantine.write(json.dumps({"key": row.key, "reason": row.error}) + "\n")
                else:
                    self._written += 1
                    columns.add(row.identity, row.key)
                    yield self._written, self._example(row)
        if last and not self._written:
            raise InputError(
                f"{self.source.database}: none of its {len(self.source)} images can be read, such "
                f"as {bad.key}: {bad.error}"
            )

    def _example(self, row: "_Row") -> dict[str, Any]:
        unknown = np.full((5, 2), np.nan, np.float32)
        return {
            "image": _Once(row.image),
            "identity": row.identity,
            "key": encode(row.key),
            "database": self.source.database,
            "split": row.split,
            "landmarks": unknown if row.landmarks is None else np.float32(row.landmarks),
        }


def _variant(source: Any) -> str:
    """A name that differs where images or preparations differ."""
    words = []
    if isinstance(source, EncodedSource):
        words.append(source.preparation.align)
        if source.preparation.quality is not None:
            words.append(f"q{source.preparation.quality}")
    return "-".join([*words, source.fingerprint()[:12]])


class _Once(io.BytesIO):
    """A file that is read once: TFDS keeps the examples of a shard until it is written."""

    def read(self, size: int | None = -1) -> bytes:
        with self:
            return super().read(size)


class _Row(NamedTuple):
    key: str
    identity: int
    split: str
    image: bytes
    landmarks: np.ndarray | None
    error: str


class _Read:
    """Reads a row of a source and encodes its face."""

    def __init__(self, source: Any):
        self._source, self._keys, self._identities = source, source.keys, source.identities
        self._splits = getattr(source, "splits", None)
        if isinstance(source, EncodedSource):
            self._unencoded = dataclasses.replace(source.preparation, quality=None)

    def __call__(self, row: int) -> _Row:
        row = int(row)
        image, landmarks, error = b"", None, ""
        try:
            image, landmarks = self._face(row)
        except InputError as reason:
            error = str(reason)
        split = self._splits[row] if self._splits else ""
        return _Row(self._keys[row], int(self._identities[row]), split, image, landmarks, error)

    def _face(self, row: int) -> tuple[bytes, np.ndarray | None]:
        """The encoded face and its landmarks."""
        source = self._source
        if not isinstance(source, EncodedSource):
            return _encode(source[row]["image"], None), None
        preparation, landmarks = source.preparation, source.landmarks(row)
        data = source.encoded(row)
        photo = images.decode(data)
        if preparation.keeps(photo.shape):
            return data, landmarks
        face = self._unencoded(photo, landmarks, source.box(row))
        return _encode(face, preparation.quality), _moved(landmarks, photo.shape, preparation)


def _encode(face: np.ndarray, quality: int | None) -> bytes:
    """A face as PNG, or as JPEG of the quality that its preparation asks for."""
    if quality is not None:
        return images.encode_jpeg(face, quality)
    return cv2.imencode(".png", face[..., ::-1])[1].tobytes()


def _moved(
    landmarks: np.ndarray | None, shape: tuple[int, ...], preparation: Preparation
) -> np.ndarray | None:
    """Where landmarks of a photo are in the face that was cut out of it."""
    if landmarks is None or preparation.align == "always":
        return None
    if preparation.align == "never" or shape[:2] == (SIZE, SIZE):
        return (landmarks + 0.5) * (SIZE / np.array([shape[1], shape[0]])) - 0.5
    matrix = similarity(landmarks, TEMPLATE)
    return landmarks @ matrix[:, :2].T + matrix[:, 2]


class AdienceBuilder(DatabaseBuilder, skip_registration=True):
    """Adience."""

    name, READS = "adience", Adience


class BinPackBuilder(DatabaseBuilder, skip_registration=True):
    """InsightFace's evaluation packs."""

    name, READS = "bin_pack", BinPack


class FddbBuilder(DatabaseBuilder, skip_registration=True):
    """FDDB."""

    name, READS = "fddb", Fddb


class GANDiffFaceBuilder(DatabaseBuilder, skip_registration=True):
    """GANDiffFace."""

    name, READS = "gandiffface", GANDiffFace


class Glint360KBuilder(DatabaseBuilder, skip_registration=True):
    """Glint360K and every other training set of InsightFace."""

    name, READS = "glint360k", RecordIOSource


class IjbcBuilder(DatabaseBuilder, skip_registration=True):
    """IJB-C."""

    name, READS = "ijbc", Ijbc


class ImageFolderBuilder(DatabaseBuilder, skip_registration=True):
    """Folders of images."""

    name, READS = "image_folder", ImageFolder


class SyntheticFacesBuilder(DatabaseBuilder, skip_registration=True):
    """Synthetic faces."""

    name, READS = "synthetic_faces", SyntheticFaces


BUILDERS = (
    AdienceBuilder,
    BinPackBuilder,
    FddbBuilder,
    GANDiffFaceBuilder,  # before the folder of images that it is
    Glint360KBuilder,
    IjbcBuilder,
    ImageFolderBuilder,
    SyntheticFacesBuilder,
)


def build(source: Any, data_dir: str | Path) -> Path:
    """Builds the dataset of a source, unless it is there already.

    What an interrupted build left is removed; it never has the name of a dataset.

    Args:
      source: of one of the kinds in `BUILDERS`.
      data_dir: folder of TFDS datasets, made where it is missing.

    Returns:
      The folder of the dataset, for `open_built` and `quarantine`.

    Raises:
      InputError: a source of another kind or without a readable image, another process that builds
        the same, or a folder that cannot be written.
    """
    kinds = [builder for builder in BUILDERS if isinstance(source, builder.READS)]
    if not kinds:
        raise InputError(f"{type(source).__name__}: no builder for such a source")
    builder = kinds[0](source, data_dir)
    folder = Path(builder.data_path)
    try:
        with _alone(folder.parent), tempfile.TemporaryDirectory() as downloads:
            for left in folder.parent.glob("incomplete.*"):
                shutil.rmtree(left)
            with contextlib.redirect_stdout(None):  # TFDS speaks of downloads
                builder.download_and_prepare(download_dir=downloads)
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror or error}") from None
    return folder


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps other processes from building in a folder; the lock goes with the process."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{folder}: another process is building it") from None
        yield
