"""A lab of small photos, of which half of the people are trained on."""

from pathlib import Path

from miniatures.photos import jpeg, photo

CONFIG = """
from ml_collections import ConfigDict


def get_config():
    architecture = dict(kind="iresnet", name="iresnet18", input_size=16)
    architecture |= dict(width=0.0625, embedding_size=8)
    return ConfigDict(
        dict(
            name="small",
            source=dict(kind="folder", path={path!r}),
            split=dict(by="identity", members=0.5, seed=3),
            labels="identity",
            training=dict(architecture=architecture, epochs=2, batch_size=8),
            verification_images=8,
            workers=0,
        )
    )
"""


def write_lab(folder: Path) -> Path:
    """Writes 48 photos of 16 people, and the configuration that it returns."""
    for i in range(48):
        path = folder / "photos" / f"{i // 3:02d}" / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(photo(i, 112, 112)))
    config = folder / "config.py"
    config.write_text(CONFIG.format(path=str(folder / "photos")))
    return config
