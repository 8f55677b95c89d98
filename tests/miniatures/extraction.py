"""An extraction of photos into small shards, quick or slow, for tests that stop it and go on."""

from pathlib import Path

from data_pipelines.databases.image_folder import ImageFolder
from miniatures.photos import jpeg, photo
from mint_jax import aad, audited

SPEC = "iresnet18:random=0,width=0.0625,embedding_size=16,input_size=28"
COUNT, SHARD = 45, 4
MAIN = """
import runpy
runpy.run_module("experiments.extract", run_name="__main__", alter_sys=True)
"""


def slow(seconds: str) -> str:
    """The command as a script that waits before each shard, for as long as an expression says."""
    return f"""
import os, time
from mint_jax import aad
add = aad.Writer.add

def slow(self, *arguments):
    time.sleep({seconds})
    add(self, *arguments)

aad.Writer.add = slow
{MAIN}
"""


def write_photos(folder: Path) -> Path:
    """COUNT photos in a folder that is there."""
    for i in range(COUNT):
        (folder / f"{i:02d}.jpg").write_bytes(jpeg(photo(i, 112, 112)))
    return folder


def create_store(workdir: Path, photos: Path) -> None:
    """An empty store of SHARD rows a shard, where the command looks for it."""
    model = audited.load(SPEC)
    aad.create_or_open_store(
        workdir / "aad",
        model_sha256=model.sha256,
        model_name=model.name,
        source_fingerprint=ImageFolder(photos).fingerprint(),
        rows=COUNT,
        layers={"conv4": (32,), "outcome": (16,)},
        reduce="max",
        per_device_batch=SHARD,
        shard_bytes=0,
    )


def arguments(workdir: Path, photos: Path) -> list[str]:
    """The command's."""
    return [
        f"--workdir={workdir}",
        f"--config=experiments/configs/extract.py:images={photos},layers=conv4;outcome,views=",
        *(f"--config.audited={SPEC}", f"--config.per_device_batch={SHARD}"),
    ]


def files(folder: Path) -> dict[str, bytes]:
    """All that lies in a folder."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
