"""A command for each point of a grid of flags, one a line, quoted for a shell.

    python -m launch.sweep --grid=config.seed=0,1,2 --grid=config.auditor=vanilla,cnn -- \
python -m experiments.train_auditor --config=FILE --workdir=runs/sweep

prints six commands, whose folders are `runs/sweep/config.seed=0,config.auditor=vanilla` and so on.
A value with a comma stands in double quotes: --grid='config.layers="conv1,conv2",conv3'. On one
machine `| xargs -d '\\n' -P 2 -I {} sh -c {}` runs two of them at a time; `launch.slurm` takes the
same flags and makes a job of each.
"""

import csv
import itertools
import shlex
from collections.abc import Sequence
from urllib.parse import quote

from absl import flags

from launch import rendering

GRID = flags.DEFINE_multi_string("grid", [], "FLAG=VALUE,VALUE,...; may stand several times")
_WORKDIR = "--workdir="


def commands(command: Sequence[str], grid: Sequence[str]) -> list[list[str]]:
    """The command at every point of the grid; the command itself where there is no grid.

    Args:
      command: words, `--workdir=DIR` among them if there is a grid.
      grid: "FLAG=VALUE,VALUE,..." of each axis; the last one varies fastest.

    Raises:
      ValueError: an axis of another form or without values, or no `--workdir=DIR`.
    """
    if not grid:
        return [list(command)]
    if not any(word.startswith(_WORKDIR) for word in command):
        raise ValueError("the points of a grid need folders: give the command a --workdir=DIR")
    return [_at(command, point) for point in itertools.product(*map(_axis, grid))]


def _axis(text: str) -> list[tuple[str, str]]:
    flag, _, values = text.partition("=")
    rows = list(csv.reader([values], strict=True))
    if not flag or not values or len(rows) != 1:
        raise ValueError(f"--grid={text}: it must be FLAG=VALUE,VALUE,...")
    return [(flag.lstrip("-"), value) for value in rows[0]]


def _at(command: Sequence[str], point: Sequence[tuple[str, str]]) -> list[str]:
    folder = ",".join(f"{flag}={quote(value, safe='')}" for flag, value in point)
    placed = [
        f"{word.rstrip('/')}/{folder}" if word.startswith(_WORKDIR) else word for word in command
    ]
    return [*placed, *(f"--{flag}={value}" for flag, value in point)]


def render(command: list[str]) -> str:
    """The commands, one a line.

    Raises:
      ValueError: as `commands`, or a line break within a command.
    """
    lines = [shlex.join(words) for words in commands(command, GRID.value)]
    if any("\n" in line for line in lines):
        raise ValueError("a command with a line break in it is no line")
    return "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    rendering.run(render)
