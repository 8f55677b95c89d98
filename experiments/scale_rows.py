"""What `experiments.scale` measured, read back."""

import json
from pathlib import Path
from typing import Any

from mint_jax.errors import InputError


def read(path: Path) -> list[dict[str, Any]]:
    """Rows of a scale.json; none where there is no file.

    Each is {"work", "images", "seconds", "images_per_second", "peak_mb": of the process, "disk_mb":
    of what it left, or None, "cores", "date", "versions"}; MB are 2**20 bytes.

    Raises:
      InputError: it is something else.
    """
    try:
        found = json.loads(path.read_text())["rows"] if path.exists() else []
        for row in found:
            row["work"], row["images"], row["seconds"], row["peak_mb"], row["disk_mb"], row["cores"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: no rows of this command, move it away: {error}") from None
    return found
