"""What the renderers share: the command behind `--`, templates, quoting, where the result goes."""

import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
from absl import app, flags

_OUTPUT = flags.DEFINE_string("output", None, "file that is written; absent: printed")
_TEMPLATES = Path(__file__).with_name("templates")


def run(render: Callable[[list[str]], str]) -> None:
    """Runs a renderer: `render` turns the command behind `--` into a text, or raises ValueError."""

    def main(argv: list[str]) -> None:
        if len(argv) < 2:
            sys.exit("error: no command: python -m launch.NAME [flags] -- COMMAND")
        try:
            text = render(argv[1:])
        except ValueError as error:
            sys.exit(f"error: {error}")
        if _OUTPUT.value is None:
            print(text, end="")
            return
        try:
            Path(_OUTPUT.value).write_text(text, encoding="utf-8")
        except OSError as error:
            sys.exit(f"error: {_OUTPUT.value}: {error.strerror}")

    app.run(main)


def fill(template: str, **values: Any) -> str:
    """A template with its values.

    Its filters are `sh`, which makes a word or a list of words safe for a shell, `json`, which
    does so for YAML, and `plain`, which refuses what would need it.

    Raises:
      ValueError: a value that is to be plain is not.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=False,  # these are no pages
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(sh=_sh, json=json.dumps, plain=_plain)
    return environment.get_template(template).render(values)


def _sh(value: Any) -> str:
    return shlex.join(value) if isinstance(value, list) else shlex.quote(str(value))


def _plain(value: Any) -> str:
    if not re.fullmatch(r"[\w.,:=@%/+-]+", str(value), re.ASCII):
        raise ValueError(f"{value!r} has characters that have no place there")
    return str(value)
