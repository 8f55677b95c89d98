"""FDDB, small: ten lists of ellipses and the photos."""

from pathlib import Path


def write(root: Path, folds: dict, newline: str = "\n") -> None:
    """Writes `FDDB-folds` and `originalPics`.

    Args:
      root: folder to write.
      folds: {1 to 10: [(photo such as "2002/07/19/big/img_130", its bytes, [(major radius, minor
        radius, angle, x, y)])]}; the lists of other folds are empty.
      newline: of the lists.
    """
    (root / "FDDB-folds").mkdir(parents=True)
    for fold in range(1, 11):
        lines = []
        for name, data, ellipses in folds.get(fold, []):
            path = root / "originalPics" / f"{name}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            lines += [name, str(len(ellipses))]
            lines += [" ".join(f"{value:.6f}" for value in e) + "  1" for e in ellipses]
        content = "".join(line + newline for line in lines)
        stem = root / "FDDB-folds" / f"FDDB-fold-{fold:02d}"
        Path(f"{stem}-ellipseList.txt").write_bytes(content.encode())
        names = "".join(name + newline for name, _, _ in folds.get(fold, []))
        Path(f"{stem}.txt").write_bytes(names.encode())
