"""How much of the machine's memory is left."""

from pathlib import Path

import psutil


def available(root: Path = Path("/")) -> int:
    """Bytes that this process can still take: of the machine, and of its control groups (v2).

    What the system caches of files counts as free.

    Args:
      root: where /proc and /sys are.
    """
    return min([psutil.virtual_memory().available, *_left_in_groups(root)])


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
