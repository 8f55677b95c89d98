"""IJB-C as InsightFace releases it: loose crops with five landmarks each.

Source: Maze et al., "IARPA Janus Benchmark - C", ICB 2018; the layout is that of
`recognition/_evaluation_/ijb` in InsightFace.
"""

import array
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.databases.listing import Listing, find_folder, lines
from data_pipelines.errors import InputError

_FIELDS = 12  # name, five points, the detector's score


class Ijbc(Listing):
    """The crops of IJB-C, in the order of `meta/ijbc_name_5pts_score.txt`.

    The release does not say who is who. All images of a template are of one person, and the pairs
    of `meta/ijbc_template_pair_label.txt` whose label is 1 say which templates are of the same one:
    templates that such pairs connect are one identity. Two templates of a person that no pair
    connects count as two people; without that file every template does.

    Attributes:
      templates, media: (n,) int64 ids; -1 where they are not known.
    """

    database = "ijbc"

    def __init__(self, folder: str | Path, **preparation: Any):
        """Reads the lists; reads no image.

        Args:
          folder: that holds `loose_crop` and `meta`, or the one above it.
          **preparation: of `Preparation`: `align`, `detector`, `quality`, `antialias`.

        Raises:
          InputError: a list or the folder of crops is missing, or two lists do not fit together.
        """
        folder = Path(folder)
        meta = find_folder(folder / "meta", folder / "IJBC" / "meta")
        crops = find_folder(meta.parent / "loose_crop")
        faces, media = meta / "ijbc_name_5pts_score.txt", meta / "ijbc_face_tid_mid.txt"
        names, landmarks, broken = _read_faces(faces)
        self.templates, self.media = _read_media(media, names, faces.name, broken)
        pairs = meta / "ijbc_template_pair_label.txt"
        people = _people(pairs) if pairs.exists() else {}
        super().__init__(
            meta.parent,
            [f"{crops.name}/{name}" for name in names],
            [
                ("row", row) if template < 0 else people.get(template, template)
                for row, template in enumerate(self.templates.tolist())
            ],
            landmarks=landmarks,
            broken=broken,
            **preparation,
        )


def _read_faces(path: Path) -> tuple[list[str], np.ndarray, dict[int, str]]:
    """Names, (n, 5, 2) float32 landmarks, and what is broken."""
    names, points, broken = [], array.array("f"), {}
    for row, (at, line) in enumerate(lines(path)):
        name, *values = line.split()
        try:
            if len(values) != _FIELDS - 1:
                raise ValueError(f"has {len(values) + 1} fields, not {_FIELDS}")
            point = [float(value) for value in values][:10]
        except ValueError as error:
            broken[row] = f"line {at} of {path.name}: {error}"
            point = [np.nan] * 10
        names.append(name)
        points.extend(point)
    return names, np.frombuffer(points, np.float32).reshape(-1, 5, 2), broken


def _read_media(
    path: Path, names: list[str], other: str, broken: dict[int, str]
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) templates and (n,) media; adds to `broken`."""
    ids = np.full((len(names), 2), -1, np.int64)
    count = 0
    for row, (at, line) in enumerate(lines(path)):
        name, *values = line.split()
        count += 1
        if row < len(names) and name != names[row]:
            raise InputError(f"{path}: line {at} is of {name}, where {other} has {names[row]}")
        try:
            template, medium = map(int, values)
            if row < len(names):
                ids[row] = template, medium
        except ValueError:
            broken[row] = f"line {at} of {path.name}: not a name and two numbers"
    if count != len(names):
        raise InputError(f"{path}: lists {count} images, {other} lists {len(names)}")
    return ids[:, 0], ids[:, 1]


def _people(path: Path) -> dict[int, int]:
    """{template: the template that stands for its person}, by union of genuine pairs."""
    parents = {}

    def find(template: int) -> int:
        while (parent := parents.setdefault(template, template)) != template:
            parents[template] = template = parents[parent]
        return template

    with open(path, "rb") as file:
        for at, line in enumerate(file, 1):
            if not line.rstrip().endswith(b"1"):  # of 15 million pairs 20,000 are genuine
                continue
            try:
                first, second, label = map(int, line.split())
            except ValueError:
                raise InputError(f"{path}: line {at} is not a pair and its label") from None
            if label == 1:
                parents[find(first)] = find(second)
    return {template: find(template) for template in list(parents)}
