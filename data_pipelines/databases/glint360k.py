"""Glint360K, and every other training set in InsightFace's layout: ms1mv2, ms1mv3, WebFace.

Source: An et al., "Partial FC: Training 10 Million Identities on a Single Machine", ICCV Workshops
2021. The layout is `train.rec`, `train.idx`, and `property`: "persons,height,width".
"""

import copy
from pathlib import Path
from typing import Any

from data_pipelines import images
from data_pipelines.databases.listing import find_folder, lines
from data_pipelines.errors import InputError
from data_pipelines.preparation import Preparation
from data_pipelines.recordio import RecordIOSource


def open_pack(folder: str | Path, **preparation: Any) -> RecordIOSource:
    """Opens the pack in a folder.

    Args:
      folder: that holds `train.rec`; `train.idx` and `property` may be missing.
      **preparation: of `Preparation`: `align`, `detector`, `quality`, `antialias`.

    Raises:
      InputError: no such pack, its `property` says something else, or what `RecordIOSource` raises.
    """
    folder = find_folder(Path(folder))
    if not (folder / "train.rec").is_file():
        raise InputError(f"{folder}: no train.rec in it")
    source = RecordIOSource(folder / "train", **preparation)
    if (folder / "property").exists():
        _check(folder / "property", source)
    return source


def _check(path: Path, source: RecordIOSource) -> None:
    """Compares `property` with the first and the last image."""
    _, text = next(lines(path), (1, ""))
    try:
        persons, height, width = map(int, text.split(","))
    except ValueError:
        raise InputError(f"{path}: not persons,height,width") from None
    undetected = copy.copy(source)
    undetected.preparation = Preparation(align="never")
    for row in (0, len(source) - 1):
        try:
            label = undetected[row]["label"]
            shape = images.decode(source.encoded(row)).shape
        except InputError:  # such an image says so when it is read
            continue
        if label >= persons:
            raise InputError(f"{path}: {persons} persons, but {source.name(row)} is of {label}")
        if shape[:2] != (height, width):
            found = f"{shape[0]}x{shape[1]}"
            raise InputError(f"{path}: {height}x{width}, but {source.name(row)} is {found}")
