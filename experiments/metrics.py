"""Scalars over the steps of long work: `metrics.jsonl` and TensorBoard's files in a workdir."""

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path

from tensorboardX import SummaryWriter

from mint_jax import parallel

_FLUSH_SECONDS = 10  # of TensorBoard's files; a line of JSON is written at once


class Metrics:
    """Writes `workdir/metrics.jsonl` and `workdir/tensorboard`, in process 0 alone.

    A line is {"step", "time": seconds since 1970, and the scalars}; with a group also {"group"},
    whose TensorBoard run is `tensorboard/GROUP`. Work of which each has steps of its own takes a
    group each. A run that goes on begins with a step: what was written of it and of later ones
    before, this run will write again, and it is cut off.

    Use it as `with contextlib.closing(Metrics(workdir)) as metrics`.
    """

    def __init__(self, workdir: Path, group: str = ""):
        """Nothing is read or written before the first step."""
        self._lines = workdir / "metrics.jsonl"
        self._folder = workdir / "tensorboard" / group
        self._group = {"group": group} if group else {}
        self._board: SummaryWriter | None = None

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Notes what the scalars are at a step; steps rise. One that is no number becomes null."""
        if parallel.process_index():
            return
        if self._board is None:
            self._begin(step)
        now = time.time()
        line = {"step": step, "time": round(now, 3), **self._group}
        line |= {k: float(v) if math.isfinite(v) else None for k, v in scalars.items()}
        with self._lines.open("a") as file:
            file.write(json.dumps(line) + "\n")
        for name, value in scalars.items():
            self._board.add_scalar(name, value, step, now)

    def _begin(self, step: int) -> None:
        self._lines.parent.mkdir(parents=True, exist_ok=True)
        resumed = self._folder.is_dir()
        if self._lines.exists():
            partly = self._lines.with_suffix(".partly")
            with self._lines.open() as before, partly.open("w") as kept:
                kept.writelines(line for line in before if self._stays(line, step))
            partly.replace(self._lines)
        self._board = SummaryWriter(
            str(self._folder),
            purge_step=step if resumed else None,
            flush_secs=_FLUSH_SECONDS,
            filename_suffix=f".{time.time_ns()}",  # names of files are in seconds
        )

    def _stays(self, text: str, step: int) -> bool:
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            return False  # a kill cut it off
        own = line.get("group") == self._group.get("group")
        return not own or line["step"] < step

    def close(self) -> None:
        """Waits until TensorBoard's files are written."""
        if self._board is not None:
            self._board.close()
