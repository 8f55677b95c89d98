"""What grows with the number of images: each work is the real one, and the plan is arithmetic."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments import scale_parts, scale_rows
from experiments.benchmarks import packs

ROOT = Path(__file__).resolve().parents[2]
SIZE = 90
JPEGS = list(packs.textures(SIZE, seed=1))
COMMAND = """
from pathlib import Path
from experiments import cli, scale
from experiments.benchmarks import children

def run_module(module, *arguments):
    given = dict(argument.removeprefix("--").partition("=")[::2] for argument in arguments)
    size = 3 if "/pack3/" in given.get("images", given.get("config")) else 6
    if module == "experiments.score":
        left = Path(given["output"])
    else:
        assert module == "experiments.extract"
        left = Path(given["workdir"], "store")
        left.parent.mkdir()
    left.write_bytes(bytes(size << 20))
    return children.Ran(4.0, 300.0 + size, "")

def run(script, part, pack, size, folder, XDG_CACHE_HOME):
    assert Path(XDG_CACHE_HOME).parent == Path(folder) and Path(pack + ".idx").is_file()
    return children.Ran(9.0, 200.0, "0.5 and what else")

children.run_module, children.run = run_module, run
cli.run(scale.main, devices=False)
"""


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    return packs.write(tmp_path_factory.mktemp("pack"), iter(JPEGS), SIZE)


def disjoint(parts):
    rows = np.concatenate(list(parts.values()))
    assert len(np.unique(rows)) == len(rows)
    return len(rows)


RESULTS = {
    "open": (len, SIZE),
    "read": (int, SIZE),
    "fetch": (int, sum(map(len, JPEGS))),
    "labels": (lambda found: found.tolist(), (np.arange(SIZE) // 40).tolist()),
    "scan": (len, 1 + SIZE + 3),  # with those of record 0 and of three people
    "merge": (np.sum, SIZE),
    "split": (disjoint, SIZE),
    "compare": (int, 0),
    "search": (lambda found: found[0].shape, (1000, 20)),
}


def test_every_part_does_what_it_says(pack, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert set(RESULTS) == set(scale_parts.PARTS)
    for name, (read, expected) in RESULTS.items():
        work = scale_parts.PARTS[name](pack, SIZE, tmp_path)
        assert read(work()) == expected, name


def test_a_part_prints_its_seconds(pack, tmp_path, capsys):
    scale_parts.run("split", str(pack), str(SIZE), str(tmp_path))
    assert 0 < float(capsys.readouterr().out) < 60


def command(workdir, *arguments, module=None):
    return subprocess.run(
        [sys.executable, *(["-m", module] if module else ["-c", COMMAND])]
        + [f"--workdir={workdir}", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def test_rows_of_several_runs(tmp_path):
    done = command(tmp_path, "--sizes=3,6", "--works=extract,score,split", "--index=50")
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "scale.json").read_text())["rows"]
    of = {(row["work"], row["images"]): row for row in rows}
    works = ("extract", "score", "split")
    assert list(of) == [*((work, n) for n in (3, 6) for work in works), ("open", 50)]
    assert all(row["of"]["audited"] == "embedded" for row in rows)
    for work in ("extract", "score"):
        row = of[work, 6]
        assert (row["seconds"], row["peak_mb"], row["disk_mb"]) == (4.0, 306.0, 6.0)
        assert row["images_per_second"] == 1.5 and row["cores"] >= 1
    assert (of["split", 3]["seconds"], of["split", 3]["disk_mb"]) == (0.5, None)
    assert "score          6 images:      4.0 s" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("pack3", "pack6", "run.json", "scale.json")
    ]  # what works left is gone
    done = command(tmp_path, "--sizes=6", "--works=read", "--index=0")
    assert done.returncode == 0 and "written" not in done.stdout
    again = json.loads((tmp_path / "scale.json").read_text())["rows"]
    assert again[:-1] == rows and again[-1]["work"] == "read"
    refused = command(tmp_path, "--sizes=6", "--works=read", "--index=0", "--audited=other")
    assert refused.returncode == 1 and "its rows are of other networks" in refused.stderr


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--works=read,none", "--works: 'none' is none of extract, score, open, read"),
        ("--sizes=3,0", "--sizes: numbers from 1 on, not '3,0'"),
        ("--index=0", "scale.json: no rows of this command"),
    ],
)
def test_bad_input_is_one_line(tmp_path, flag, words):
    (tmp_path / "scale.json").write_text('{"rows": [1]}')
    done = command(tmp_path, flag)
    assert done.returncode == 1 and words in done.stderr and len(done.stderr.splitlines()) == 1
    assert (tmp_path / "scale.json").read_text() == '{"rows": [1]}'


def measured(work, time, peak, disk=None, sizes=(1000, 10_000, 100_000)):
    return [
        {"work": work, "images": n, "seconds": time(n), "peak_mb": peak(n), "cores": 2, "of": {}}
        | {"disk_mb": disk and disk * n}
        for n in sizes
    ]


def test_lines_through_what_was_measured():
    rows = measured("extract", lambda n: 5 + n / 500, lambda n: 400 + n / 1000, disk=0.25)
    rows += measured("compare", lambda n: 1 + 1e-6 * n * (n - 1) / 2, lambda n: 300.0)
    rows += measured("read", lambda n: n / 1000, lambda n: 200.0, sizes=(1000, 2000))
    rows += measured("labels", lambda n: 1.0, lambda n: 200.0, sizes=(1000,))
    found = scale_rows.lines(rows)
    assert list(found) == ["extract", "compare", "read"]  # one size makes no line
    line = found["extract"]
    assert (line.seconds, line.start) == pytest.approx((1 / 500, 5))
    assert line.disk == 0.25 * 2**20 and line.growth == pytest.approx(2**20 / 1000)
    assert line.memory(200_000) == pytest.approx((400 + 200) * 2**20)
    assert (found["compare"].seconds, found["compare"].start) == pytest.approx((1e-6, 1))
    assert found["compare"].memory(10**6) == 300 * 2**20
    assert found["read"].memory(10**6) is None  # such small ones tell nothing


def cells(printed):
    """{quantity: (kind, figures)} of the last table."""
    rows = printed.split("\n\n")[-1].splitlines()[2:]
    split = ([cell.strip() for cell in row.strip("|").split("|")] for row in rows)
    return {name: (kind, figures) for name, kind, *figures in split}


def test_the_plan(tmp_path):
    rows = measured("read", lambda n: n / 2000, lambda n: 200.0)  # 1,000 images/s a core
    rows += measured("fetch", lambda n: n / 8000, lambda n: 200.0)
    rows += measured("score", lambda n: 6 + n / 100, lambda n: 400 + n / 1000, disk=0.001)
    rows += measured("merge", lambda n: n / 1000, lambda n: 200.0)
    rows += measured("compare", lambda n: 1e-6 * n * (n - 1) / 2, lambda n: 300.0)
    (tmp_path / "scale.json").write_text(json.dumps({"rows": rows}))
    flags = ["--images=1000000", "--devices=1,4", "--speed=4000", "--cores=2", "--encoded=5000"]
    done = command(tmp_path, *flags, module="experiments.scale_plan")
    assert done.returncode == 0, done.stderr
    found = cells(done.stdout)
    assert found["forward passes alone"] == ("arithmetic", ["4.17 min", "62.5 s"])
    assert found["both, one hiding the other"] == ("arithmetic", ["8.33 min", "2.08 min"])
    assert found["share in which a device waits for images"][1] == ["50%", "50%"]
    assert found["cores so that none waits"][1] == ["4", "16"]
    assert found["what storage has to give, a second"][1] == ["10 MB", "40 MB"]
    assert found["images/s that a core reads and decodes"] == ("measured", ["1,000"] * 2)
    assert found["start of score"] == ("measured", ["6 s"] * 2)
    assert found["merge, one process"][1] == ["16.7 min"] * 2
    assert found["compare: each with each, one process"][1] == ["5.79 days"] * 2
    assert found["file of scores, of the network measured"][1] == ["1.05 GB"] * 2
    assert found["memory of score, each process"][1] == ["1.47 GB"] * 2  # 1,400 MB of 2**20
    done = command(tmp_path, *flags, "--cores=100", module="experiments.scale_plan")
    found = cells(done.stdout)  # now the accelerator is what limits
    assert found["both, one hiding the other"] == found["forward passes alone"]
    assert found["reading and decoding alone"][1] == ["2.08 min", "31.2 s"]  # of 8,000 images/s
    assert found["share in which a device waits for images"][1] == ["0%", "0%"]


def test_a_plan_needs_what_reading_takes(tmp_path):
    (tmp_path / "scale.json").write_text(json.dumps({"rows": measured("score", float, float)}))
    done = command(tmp_path, module="experiments.scale_plan")
    assert done.returncode == 1
    assert "scale.json: experiments.scale --works=read at two sizes is missing" in done.stderr
