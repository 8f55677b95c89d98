"""Writes packs as MXNet's `MXIndexedRecordIO` and InsightFace's `face2rec2.py` do."""

import itertools
import struct
from collections.abc import Sequence
from pathlib import Path

MAGIC = struct.pack("<I", 0xCED7230A)


def frames(data: bytes) -> bytes:
    """A record in the file: cut wherever the magic number stands at a multiple of 4."""
    parts, begin = [], 0
    for at in range(0, len(data) // 4 * 4, 4):
        if data[at : at + 4] == MAGIC:
            parts.append(data[begin:at])
            begin = at + 4
    parts.append(data[begin:])
    flags = [1, *[2] * (len(parts) - 2), 3] if len(parts) > 1 else [0]
    return b"".join(
        MAGIC + struct.pack("<I", flag << 29 | len(part)) + part + bytes(-len(part) % 4)
        for flag, part in zip(flags, parts)
    )


def record(key: int, flag: int, labels: float | Sequence[float], payload: bytes) -> bytes:
    """A record: its header, its labels where there is an array of them, its image."""
    if flag == 0:
        return struct.pack("<IfQQ", 0, labels, key, 0) + payload
    return struct.pack(f"<IfQQ{flag}f", flag, 0, key, 0, *labels) + payload


def write(
    prefix: Path | str,
    records: Sequence[tuple[int, int, float | Sequence[float], bytes]],
    idx: bool = True,
) -> dict[int, int]:
    """Writes PREFIX.rec and PREFIX.idx.

    Args:
      prefix: without a suffix.
      records: (key, flag, label or flag labels, image).
      idx: whether to write the index.

    Returns:
      {key: byte at which its record begins}.
    """
    offsets = {}
    with open(f"{prefix}.rec", "wb") as file:
        for key, flag, labels, payload in records:
            offsets[key] = file.tell()
            file.write(frames(record(key, flag, labels, payload)))
    if idx:
        Path(f"{prefix}.idx").write_text("".join(f"{k}\t{v}\n" for k, v in offsets.items()))
    return offsets


def insightface(prefix: Path | str, images: Sequence[tuple[bytes, int]]) -> dict[int, int]:
    """Writes a training set of InsightFace: PREFIX.rec, PREFIX.idx, and `property` beside them.

    Args:
      prefix: without a suffix.
      images: (image, identity), the images of an identity one after the other.

    Returns:
      As `write`.
    """
    people, first = [], 1
    for _, group in itertools.groupby(images, key=lambda image: image[1]):
        last = first + len(list(group)) - 1
        people.append((float(first), float(last + 1)))
        first = last + 1
    count = len(images) + 1
    records = [(0, 2, (float(count), float(count + len(people))), b"")]
    records += [(key, 0, float(who), data) for key, (data, who) in enumerate(images, 1)]
    records += [(key, 2, person, b"") for key, person in enumerate(people, count)]
    Path(prefix).with_name("property").write_text(f"{len(people)},112,112")
    return write(prefix, records)
