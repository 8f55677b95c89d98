"""Processes that are measured run what a user would run."""

import json

import pytest
from absl import flags
from ml_collections import config_flags

from data_pipelines.recordio import RecordIOSource
from experiments import audit_sets
from experiments.benchmarks import children, commands

SMALL = {"bank_images": 8, "test_images": 8, "validation_images": 4, "threshold_images": 8}
SMALL |= {"calibration_images": 4, "calibration_members": 2}


@pytest.fixture
def started(monkeypatch):
    """Stands in for processes; the list of what was started: (module, flags, environment)."""
    calls = []

    def run_module(module, *arguments, **environment):
        given = dict(argument.removeprefix("--").partition("=")[::2] for argument in arguments)
        calls.append((module, given, environment))
        return children.Ran(20.0, 300.0 + len(calls), "")

    monkeypatch.setattr(children, "run_module", run_module)
    return calls


def test_a_process_says_what_it_took():
    small, large = (children.run(f"x = bytes(range(256)) * {n}; print(7)") for n in (4, 1 << 18))
    assert small.printed.startswith("7\n") and small.seconds > 0
    assert 60 < large.peak_mb - small.peak_mb < 70
    told = children.run("import os; print(os.environ['WHO'])", WHO="me")
    assert told.printed.startswith("me\n")
    with pytest.raises(SystemExit) as ended:
        children.run("raise SystemExit(3)")
    assert ended.value.code == 3


def test_a_module_is_run_as_the_main_one(tmp_path):
    (tmp_path / "told.py").write_text("import sys; print(__name__, sys.argv[1:])")
    ran = children.run_module("told", "--a=1", PYTHONPATH=str(tmp_path))
    assert ran.printed.startswith("__main__ ['--a=1']\n")


def test_start_with_and_without_the_cache(tmp_path, started):
    race = commands.start(tmp_path, count=2)
    assert (race.ours(), race.peers[0].figure()) == (20.0, 20.0)
    (one, first, cached), (two, second, fresh) = started
    assert one == two == "experiments.score" and first.pop("output") != second.pop("output")
    assert first == second and len(RecordIOSource(first["images"])) == 2
    assert cached == {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "programs")}
    assert fresh == {"JAX_ENABLE_COMPILATION_CACHE": "false"}


def test_memory_of_more_images(tmp_path, started):
    race = commands.memory_flat(tmp_path, count=6, small=3)
    assert (race.ours(), race.peers[0].figure(), race.ours()) == (302.0, 303.0, 304.0)
    assert not race.warm and race.unit == "MB" and race.peers[0].goal == 0.9
    sizes = [
        len(RecordIOSource(given["config"].partition("images=")[2])) for _, given, _ in started
    ]
    assert sizes == [3, 6, 3, 6] and len({given["workdir"] for _, given, _ in started}) == 4


def test_tables_of_one_protocol(tmp_path, started, monkeypatch):
    race = commands.tables(tmp_path, "embedded", (8, 16), seeds=3, **SMALL)
    assert race.ours() == 20.0 and race.peers[0].figure() == 300.0
    ((module, given, _),) = started
    assert module == "experiments.tables"
    del given["workdir"]
    arguments = ["tables", *(f"--{key}={value}" for key, value in given.items())]
    monkeypatch.setattr("sys.argv", arguments)  # where ml_collections looks for overrides
    values = flags.FlagValues()
    parsed = config_flags.DEFINE_config_file("config", flag_values=values)
    values(arguments)
    config = parsed.value
    assert (config.sizes, config.seeds, config.cnn_seeds) == ((8, 16), 3, 3)
    assert config.controls == ("pixels",) and not config.robustness and config.maps == "bfloat16"
    assert config.non_members == ("",) and config.test_images == 8
    wanted = 0
    for side in ("members", "externals"):
        (prefix,) = config[side]
        own = sum(audit_sets.wanted_images(config, side).values())
        assert len(RecordIOSource(prefix)) > 1.25 * own
        wanted += own
    assert race.n == wanted


@pytest.mark.full
def test_tables_are_made(tmp_path):
    audited = "iresnet18:random=0"
    race = commands.tables(tmp_path, audited, (16, 32), seeds=2, per_device_batch=16, **SMALL)
    assert race.ours() > 0
    tables = json.loads((tmp_path / "tables0" / "tables.json").read_text())
    found = tables["protocols"]
    assert found["matched"] is None and "rounded to bfloat16" in tables["notes"][-1]
    assert set(found["cross_database"]["table1"]["conv1"]) == {"16", "32"}
