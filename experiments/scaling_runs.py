"""Runs of `experiments.scaling_steps` by several processes, and how they compare."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines import images
from data_pipelines.databases.synthetic_faces import SyntheticFaces

_PEOPLE, _EACH = 16, 4  # whose photos are read over and over


def write_photos(folder: Path) -> Path:
    """JPEG files of rendered faces."""
    folder.mkdir(parents=True, exist_ok=True)
    source = SyntheticFaces("studio", 1, _PEOPLE, _EACH)
    for row in range(len(source)):
        (folder / f"{row:02d}.jpg").write_bytes(images.encode_jpeg(source[row]["image"], 95))
    return folder


def run(command: Sequence[str], count: int, output: Path) -> dict:
    """What `experiments.scaling_steps` measures by so many processes; their failure ends this."""
    launcher = [sys.executable, "-m", "launch.local", f"--processes={count}", "--"]
    done = subprocess.run(
        [*launcher, *command, f"--output={output}"], capture_output=True, text=True
    )
    if done.returncode:
        print(done.stderr, end="", file=sys.stderr)
        sys.exit(done.returncode)
    return json.loads(output.read_text())


def rows(turns: Sequence[Mapping[int, Mapping]], shares: int) -> list[dict[str, Any]]:
    """How each number of processes compares with one.

    Args:
      turns: of each, {processes: {work: {"weak", "strong": seconds}}}, 1 among the processes.
      shares: of the cores, which as many processes have to themselves.

    Returns:
      [{"work", "scaling", "processes", "seconds": median, "seconds_range": [least, most], "ratio":
      median of the seconds over those of one process in the same turn, "ratio_range", "possible":
      the ratio if nothing were lost, "turns"}].
    """
    found = []
    for work, scaling in ((w, s) for w in ("extraction", "training") for s in ("weak", "strong")):
        for count in turns[0]:
            seconds = np.array([turn[count][work][scaling] for turn in turns])
            ratios = seconds / [turn[1][work][scaling] for turn in turns]
            each = count if scaling == "weak" else 1
            found.append(
                {"work": work, "scaling": scaling, "processes": count}
                | {"seconds": float(np.median(seconds)), "seconds_range": _range(seconds)}
                | {"ratio": float(np.median(ratios)), "ratio_range": _range(ratios)}
                | {"possible": each / min(count, shares), "turns": len(turns)}
            )
    return found


def _range(values: np.ndarray) -> list[float]:
    return [float(values.min()), float(values.max())]
