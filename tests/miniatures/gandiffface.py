"""GANDiffFace, small: a folder for each person in a folder for each demographic group."""

from pathlib import Path


def write(root: Path, people: dict) -> None:
    """Writes {"Asian_Female/7381461": [bytes of an image, ...]} as 0.png, 1.png, ..."""
    for person, images in people.items():
        (root / person).mkdir(parents=True)
        for at, data in enumerate(images):
            (root / person / f"{at}.png").write_bytes(data)
