"""Adience, small: five lists, and two kinds of crops."""

from pathlib import Path

COLUMNS = (
    "user_id original_image face_id age gender x y dx dy tilt_ang fiducial_yaw_angle fiducial_score"
)
PREFIXES = {"aligned": "landmark_aligned_face", "faces": "coarse_tilt_aligned_face"}


def write(root: Path, rows, crops=("aligned", "faces"), stem="fold", newline: str = "\n") -> None:
    """Writes the lists and crops.

    Args:
      root: folder to write.
      rows: [(fold, user, original image, face id, {kind of crop: bytes})].
      crops: which kinds to write.
      stem: of the lists' names: "fold" or "fold_frontal".
      newline: of the lists.
    """
    root.mkdir(parents=True, exist_ok=True)
    lists = {fold: [COLUMNS.replace(" ", "\t")] for fold in range(5)}
    for fold, user, image, face, data in rows:
        rest = ["(25, 32)", "f", 301, 105, 640, 641, -115, 30, 17]
        lists[fold].append("\t".join(map(str, [user, image, face, *rest])))
        for kind in crops:
            (root / kind / user).mkdir(parents=True, exist_ok=True)
            (root / kind / user / f"{PREFIXES[kind]}.{face}.{image}").write_bytes(data[kind])
    for fold, lines in lists.items():
        content = "".join(line + newline for line in lines)
        (root / f"{stem}_{fold}_data.txt").write_bytes(content.encode())
