"""How much of the machine's memory is left, and arrays that do not need any."""

import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil

from mint_jax.errors import InputError


def available(root: Path = Path("/")) -> int:
    """Bytes that this process can still take: of the machine, and of its control groups (v2).

    What the system caches of files counts as free.

    Args:
      root: where /proc and /sys are.
    """
    return min([psutil.virtual_memory().available, *_left_in_groups(root)])


def on_disk(folder: str | Path, shape: Sequence[int], dtype: np.typing.DTypeLike) -> np.memmap:
    """Zeros in a file without a name that goes when nothing uses the array any more.

    Args:
      folder: on the disk that is to hold it; made where it does not exist.
      shape, dtype: of the array.

    Raises:
      InputError: there is no room for it.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    size = np.dtype(dtype).itemsize * math.prod(shape)
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)  # or a full disk would kill the process
        except OSError as error:
            reason = f"no room for {size / 1e9:.3g} GB of activations: {error.strerror}"
            raise InputError(f"{folder}: {reason}") from None
        return np.memmap(file, dtype, "r+", shape=tuple(shape))


def _left_in_groups(root: Path) -> list[int]:
    """What the limits leave of this process's group, and of those around it."""
    listed = root / "proc/self/cgroup"
    lines = listed.read_text().splitlines() if listed.exists() else []
    top, found = root / "sys/fs/cgroup", []
    for line in (line for line in lines if line.startswith("0::")):
        group = top / line.removeprefix("0::/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(top) and (folder / "memory.max").exists():
                found += _left_in(folder)
    return found


def _left_in(group: Path) -> list[int]:
    """What the limit of a group leaves, if it has one."""
    limit = (group / "memory.max").read_text().strip()
    if limit == "max":
        return []
    statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    used = int((group / "memory.current").read_text()) - int(statistics["inactive_file"])
    return [max(0, int(limit) - used)]
