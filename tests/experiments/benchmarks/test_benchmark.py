"""The command: rows of the contract, which are kept from run to run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.benchmarks import suites

ROOT = Path(__file__).resolve().parents[3]
CONTRACT = {"name", "ours", "peer", "peer_name", "unit", "ratio", "goal", "met", "n", "device"}
COMMAND = """
import os, sys
from experiments import benchmark, cli
from experiments.benchmarks import suites
from experiments.benchmarks.races import Peer, Race

def build(goal, mine=6.0):
    def race(folder):
        assert folder.is_dir()
        peers = [Peer("other", lambda: 2.0, goal), Peer("gone", None, goal, "_gone", "not here")]
        return Race("words", "images/s", 5, lambda: mine, peers)
    return race

suites.SUITES = {"cpu": {"small": build(4.0), "large": build(3.0)}, "gpu": {"small": build(None)}}
suites.FULL = {"large": build(3.0, 8.0)}
cli.run(benchmark.main)
"""


def run(workdir, *arguments):
    return subprocess.run(
        [sys.executable, "-c", COMMAND, f"--workdir={workdir}", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def test_rows_of_the_contract_are_kept(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "benchmark.json").read_text())
    assert [row["name"] for row in rows] == ["small", "small_gone", "large", "large_gone"]
    for row in rows:
        assert set(row) >= CONTRACT | {"date", "versions", "turns", "ratio_range"}
        assert "onnxruntime" in row["versions"] and row["n"] == 5
    assert [row["met"] for row in rows] == [False, None, True, None]
    assert "ratio 3.00 (3.00 to 3.00 in 9 turns); goal 4 missed" in done.stdout
    assert "gone: not here" in done.stdout
    assert "large: words, n = 5\n  6 images/s; other: 2\n" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["benchmark.json", "run.json"]
    done = run(tmp_path, "--only=large", "--turns=1", "--full")
    assert done.returncode == 0, done.stderr
    again = json.loads((tmp_path / "benchmark.json").read_text())
    assert again[:2] == rows[:2]
    assert [row["ours"] for row in again] == [6.0, 6.0, 8.0, 8.0] and again[2]["turns"] == 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--only=small,none"], "--only: 'none' is none of small, large"),
        ([], "benchmark.json: no rows of a benchmark"),
    ],
)
def test_bad_input_is_one_line(tmp_path, flags, words):
    (tmp_path / "benchmark.json").write_text('{"rows": {}}')
    done = run(tmp_path, *flags)
    assert done.returncode == 1 and words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "benchmark.json").read_text() == '{"rows": {}}'


def test_the_names_of_the_design():
    assert set(suites.SUITES["cpu"]) >= {
        *("extract_r100_cpu_b1", "extract_r100_cpu", "extract_r100_cpu_b64", "truncation_conv1"),
        *("population_table1", "population_table2", "small_maps", "start"),
        *("input_decode", "memory_flat", "search"),
    }
    assert set(suites.SUITES["gpu"]) >= {"extract_r100_gpu", "tables_gpu"}
    assert set(suites.FULL) <= set(suites.SUITES["cpu"]) | set(suites.SUITES["gpu"])
