"""InsightFace's evaluation packs: a pickle of encoded images and of which pairs are one person."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.encoded import EncodedSource
from data_pipelines.errors import InputError
from data_pipelines.images import read_bytes
from data_pipelines.preparation import Preparation


class BinPack(EncodedSource):
    """The images of a .bin pack, in its order: 0 and 1 are the first pair, and so on.

    Two images of a pair that is the same person are one identity; every other image is an identity
    of its own. The pack does not say more: a person in several pairs counts as several people.

    Attributes:
      keys: (n,) tuple, "00000" and on.
      identities: (n,) int64.
      issame: (n / 2,) bool, whether the two images of a pair show the same person.
      database: the file's name without its suffix.
    """

    def __init__(self, path: str | Path, **preparation: Any):
        """Loads the pack into memory, encoded as it is.

        Args:
          path: the file; packs that Python 2 wrote are understood.
          **preparation: of `Preparation`: `align`, `detector`, `quality`, `antialias`.

        Raises:
          InputError: no such file, a pickle with anything but images and flags in it, numbers that
            do not fit together, or what `Preparation` raises.
        """
        self.path, self.preparation = Path(path), Preparation(**preparation)
        self.database = self.path.stem
        try:
            self._images, self.issame = _read(self.path)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        self.keys = tuple(f"{row:05d}" for row in range(len(self._images)))
        self.identities = np.arange(len(self._images))
        self.identities[1::2] -= self.issame

    def encoded(self, row: int) -> bytes:
        return self._images[row]

    def name(self, row: int) -> str:
        return f"{self.path}: image {self.keys[row]}"

    def contents(self) -> Any:
        return [[len(data) for data in self._images], self.issame.tolist()]


def _read(path: Path) -> tuple[tuple[bytes, ...], np.ndarray]:
    pack = _load(path)
    if not (isinstance(pack, tuple | list) and len(pack) == 2):
        raise InputError("it is not a pair of a list of images and a list of flags")
    images, issame = pack
    if not isinstance(images, tuple | list) or not images:
        raise InputError("it holds no list of images")
    images = tuple(_bytes(image, row) for row, image in enumerate(images))
    issame = _flags(issame)
    if len(images) != 2 * len(issame):
        raise InputError(f"it holds {len(images)} images and {len(issame)} flags of pairs")
    return images, issame


def _load(path: Path) -> Any:
    data = io.BytesIO(read_bytes(path))
    try:
        return _Unpickler(data, encoding="bytes").load()
    except InputError:
        raise
    except Exception:  # damage turns one instruction of a pickle into any other
        raise InputError("not a pack of images, or a damaged one") from None


def _bytes(image: Any, row: int) -> bytes:
    if isinstance(image, _Array) and image.kind.startswith(("u1", "S")):
        image = image.data
    if not isinstance(image, bytes | bytearray):
        raise InputError(f"image {row} is not encoded bytes")
    return bytes(image)


def _flags(values: Any) -> np.ndarray:
    if isinstance(values, _Array) and values.kind == "b1":
        return np.frombuffer(values.data, bool)
    if not isinstance(values, tuple | list):
        raise InputError("it holds no list of flags")
    flags = [v.data != b"\0" if isinstance(v, _Array) and v.kind == "b1" else v for v in values]
    if not all(isinstance(flag, bool) for flag in flags):
        raise InputError("a flag of a pair is neither true nor false")
    return np.array(flags, bool)


class _Kind:
    """Stands for a numpy.dtype, of which the name alone is kept."""

    def __init__(self, name: bytes | str, *_: Any):
        self.name = name.decode() if isinstance(name, bytes) else name

    def __setstate__(self, state: tuple) -> None:
        pass


class _Array:
    """Stands for a numpy array or scalar, of which the bytes are kept: numpy builds nothing."""

    def __init__(self, kind: _Kind = _Kind(""), data: bytes = b""):
        self.kind, self.data = kind.name, data

    def __setstate__(self, state: tuple) -> None:
        _, _, kind, _, self.data = state
        self.kind = kind.name


def _encode(text: str, _: str) -> bytes:
    """How Python 3 writes bytes for Python 2."""
    return text.encode("latin1")


_NAMES: dict[tuple[str, str], Callable] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Kind,
    ("_codecs", "encode"): _encode,
}
for _core in ("numpy.core", "numpy._core"):
    _NAMES |= {
        (f"{_core}.multiarray", "_reconstruct"): lambda *_: _Array(),
        (f"{_core}.multiarray", "scalar"): _Array,
        (f"{_core}.numeric", "_frombuffer"): lambda data, kind, *_: _Array(kind, data),
    }


class _Unpickler(pickle._Unpickler):
    """Knows lists, tuples, bytes, booleans and numpy arrays of bytes, and imports nothing.

    It is the one in Python: that in C takes gigabytes where a damaged pickle names a large number.
    """

    def find_class(self, module: str, name: str) -> Callable:
        try:
            return _NAMES[module, name]
        except KeyError:
            raise InputError(
                f"it asks for {module}.{name}, which no pack of images needs"
            ) from None
