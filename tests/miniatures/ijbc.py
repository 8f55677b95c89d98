"""IJB-C in InsightFace's layout, small."""

from pathlib import Path


def write(root: Path, rows, pairs=None, newline: str = "\n") -> None:
    """Writes `loose_crop` and `meta`.

    Args:
      root: folder to write.
      rows: [(bytes of the crop, (5, 2) landmarks, template, media)]; crops are 1.jpg, 2.jpg, ...
      pairs: [(template, template, label)], or None for no such file.
      newline: of the lists.
    """
    (root / "loose_crop").mkdir(parents=True)
    (root / "meta").mkdir()
    faces, media = [], []
    for at, (data, landmarks, template, medium) in enumerate(rows, 1):
        (root / "loose_crop" / f"{at}.jpg").write_bytes(data)
        points = " ".join(f"{value:.6f}" for point in landmarks for value in point)
        faces.append(f"{at}.jpg {points} 0.99{at}")
        media.append(f"{at}.jpg {template} {medium}")
    lists = {"name_5pts_score": faces, "face_tid_mid": media}
    if pairs is not None:
        lists["template_pair_label"] = [" ".join(map(str, pair)) for pair in pairs]
    for name, lines in lists.items():
        content = "".join(line + newline for line in lines)
        (root / "meta" / f"ijbc_{name}.txt").write_bytes(content.encode())
