"""The command that builds databases."""

import subprocess
import sys

import numpy as np
from miniatures import ijbc
from miniatures.photos import jpeg, photo

from data_pipelines.databases.ijbc import Ijbc
from data_pipelines.sources import open_source

LANDMARKS = np.array([[60, 70], [110, 72], [85, 100], [65, 125], [107, 126]])


def _command(*words):
    command = [sys.executable, "-m", "experiments.build_database", *words]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_command(tmp_path):
    rows = [(jpeg(photo(i, 180, 170)), LANDMARKS, i // 2, i) for i in range(4)]
    ijbc.write(tmp_path / "IJBC", rows)
    (tmp_path / "IJBC" / "loose_crop" / "3.jpg").write_bytes(b"")
    words = [f"--source=ijbc:{tmp_path / 'IJBC'}", f"--data_dir={tmp_path / 'tfds'}"]
    done = _command(*words, "--quality=90")
    assert done.returncode == 0, done.stderr
    assert "4/4" in done.stderr and "configuration" not in done.stderr
    counts, name = done.stdout.splitlines()
    assert counts.startswith("3 images, 1 left out: ") and counts.endswith("quarantine.jsonl")
    built, source = open_source(name), Ijbc(tmp_path / "IJBC", quality=90)
    assert list(built.keys) == [source.keys[row] for row in (0, 1, 3)]
    np.testing.assert_array_equal(built[2]["image"], source[3]["image"])

    refused = _command(f"--source=ijbc:{tmp_path}/absent", f"--data_dir={tmp_path / 'tfds'}")
    assert refused.returncode == 1
    assert "absent/meta" in refused.stderr.splitlines()[-1]
    assert "Traceback" not in refused.stderr
