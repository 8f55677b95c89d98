"""How the runs of a workdir were started is recorded, and stays."""

import json

import pytest
from ml_collections import ConfigDict

from experiments import records
from mint_jax.errors import InputError


def test_nothing_that_was_recorded_is_lost(tmp_path):
    workdir = tmp_path / "a" / "b"
    first, second = ConfigDict({"seed": 0, "sizes": (1, 2)}), ConfigDict({"seed": 1})
    for number, config in enumerate([first, first, None, second, second]):
        records.write(workdir, {"command": number}, config)
    assert json.loads((workdir / "config.json").read_text()) == {"seed": 1}
    before = {"seed": 0, "sizes": [1, 2]}
    assert json.loads((workdir / "run.json").read_text()) == {
        "command": 4,
        "config": "config.json",
        "earlier": [
            {"command": 0, "config": before},
            {"command": 1, "config": before},
            {"command": 2},
            {"command": 3, "config": "config.json"},
        ],
    }
    assert sorted(path.name for path in workdir.iterdir()) == ["config.json", "run.json"]


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file/work: Not a directory"):
        records.write(tmp_path / "file" / "work", {})
