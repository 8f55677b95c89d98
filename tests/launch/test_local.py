"""Several processes on this machine: ranks, the first failure, bounded ends, signals passed on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RANK = "import sys, time; rank = sys.argv[-1].removeprefix('--process='); "


def start(script, *arguments, processes=2):
    return subprocess.Popen(
        [sys.executable, "-m", "launch.local", f"--processes={processes}", *arguments]
        + ["--", sys.executable, "-c", RANK + script, "own argument"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_lines_carry_ranks_and_commands_their_flags():
    run = start("print(sys.argv[1:]); sys.stderr.write('1%\\r99%\\nend')", processes=3)
    out, errors = run.communicate()
    assert run.returncode == 0
    lines = sorted(out.splitlines())
    assert [line[:4] for line in lines] == ["[0] ", "[1] ", "[2] "]
    first, *others = (eval(line[4:]) for line in lines)
    assert first[0] == "own argument" and first[1].startswith("--coordinator=127.0.0.1:")
    assert first[2:] == ["--processes=3", "--process=0"]
    assert [other[1] for other in others] == [first[1]] * 2
    assert sorted(errors.splitlines()) == sorted(
        f"[{r}] {e}" for r in range(3) for e in ("99%", "end")
    )


@pytest.mark.parametrize(
    ("failure", "status", "reason"),
    [
        ("sys.exit('no such thing')", 1, "no such thing"),
        ("sys.exit(7)", 7, "about to"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137, "SIGKILL"),
    ],
)
def test_the_first_failure_ends_the_others_in_bounded_time(failure, status, reason):
    """Process 0 is deaf to SIGTERM."""
    script = f"""
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if rank == '1':
    print('about to', file=sys.stderr)
    time.sleep(0.5)
    {failure}
time.sleep(60)
"""
    begin = time.monotonic()
    run = start(script, "--grace=0.2")
    _, errors = run.communicate()
    assert run.returncode == status
    last = f"launch.local: process 1 was the first to fail, with status {status}: {reason}"
    assert errors.splitlines()[-1] == last
    assert time.monotonic() - begin < 30


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_passed_on(number):
    script = f"""
import signal
signal.signal({int(number)}, lambda *_: sys.exit(f'saved {{rank}}'))
print('ready')
time.sleep(60)
"""
    run = start(script)
    assert {run.stdout.readline() for _ in range(2)} == {"[0] ready\n", "[1] ready\n"}
    run.send_signal(number)
    _, errors = run.communicate(timeout=30)
    assert run.returncode == 1
    assert {"[0] saved 0", "[1] saved 1"} < set(errors.splitlines())


@pytest.mark.parametrize("deaf", [False, True])
def test_processes_do_not_outlive_a_launcher_that_is_killed(deaf, tmp_path):
    """While one of them lives it holds the other end of a pipe."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    handler = "signal.SIG_IGN" if deaf else "lambda *_: (saved.write(rank), sys.exit())"
    script = f"""
import signal
saved = open({str(pipe)!r}, 'w')
signal.signal(signal.SIGTERM, {handler})
print('ready')
time.sleep(60)
"""
    run = start(script, "--grace=0.5")
    with pipe.open() as reading:
        assert {run.stdout.readline() for _ in range(2)} == {"[0] ready\n", "[1] ready\n"}
        run.kill()
        assert sorted(reading.read()) == ([] if deaf else ["0", "1"])
    run.communicate()


def test_no_command_and_no_such_command():
    for arguments, words in ([], "no command"), (["--", "nowhere"], "nowhere: No such file"):
        run = subprocess.run(
            [sys.executable, "-m", "launch.local", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert run.returncode == 1 and words in run.stderr and "Traceback" not in run.stderr
