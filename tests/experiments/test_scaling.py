"""What is sent, in closed form; how times compare; processes that time their own steps."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from miniatures.photos import jpeg, photo

from experiments import scaling_runs, traffic
from mint_jax.lab import TrainConfig

ROOT = Path(__file__).resolve().parents[2]
WIDTHS = (4, 8, 16, 32)
ARCHITECTURE = {"kind": "iresnet", "name": "iresnet18", "width": 1 / 16}
CONFIG = TrainConfig(ARCHITECTURE | {"embedding_size": 8, "input_size": 16}, batch_size=4)
CLASSES = 7
SPEC = "iresnet18:random=0,width=0.0625,embedding_size=8,input_size=16"
SHALLOW = """
import json, runpy, sys
from mint_jax.audited.iresnet import BLOCKS
BLOCKS["iresnet18"] = (1, 1, 1, 1)  # compiles in seconds
"""
COUNT = f"""
{SHALLOW}
import jax
from experiments import traffic
from mint_jax import audited
from mint_jax.lab import TrainConfig
jax.config.update("jax_num_cpu_devices", 4)
config = TrainConfig(**json.loads(sys.argv[1]))
step, held = traffic.training_step(config, {CLASSES}, 2)
model = audited.load("{SPEC}")
extraction = traffic.extraction_step(model, 2).compile().as_text()
texts = step.as_text("hlo"), step.compile().as_text(), extraction
print(json.dumps([held, *map(traffic.collectives, texts), "ENTRY" in extraction]))
"""


def test_a_training_step_sends_gradients_and_statistics_and_extraction_nothing():
    """Two BatchNorms whose sum ends the first block of a stage have one gradient of their biases.

    XLA finds that out and sends it once, and in fewer calls.
    """
    run = python(COUNT, json.dumps(CONFIG.to_json()))
    assert run.returncode == 0, run.stderr
    held, lowered, compiled, extraction, is_program = json.loads(run.stdout)
    assert extraction == {} and is_program
    assert held == {
        "network": 4 * parameters(),
        "head": 4 * CLASSES * 8,
        "batch_stats": 4 * stats(),
    }
    loss, gradients = 4, held["network"] + held["head"]
    both_ways = 2 * held["batch_stats"]  # forwards, and their gradients backwards
    assert set(lowered) == set(compiled) == {"all-reduce"}
    assert lowered["all-reduce"]["bytes"] == loss + gradients + both_ways
    assert compiled["all-reduce"]["bytes"] == loss + gradients + both_ways - 4 * sum(WIDTHS)
    assert compiled["all-reduce"]["calls"] < lowered["all-reduce"]["calls"]


def parameters():
    """Of four blocks, one a stage: kernels, scales and biases, slopes."""
    kernels, before = 3 * 9 * WIDTHS[0], WIDTHS[0]
    norms, slopes = WIDTHS[0], WIDTHS[0]
    for width in WIDTHS:
        kernels += 9 * before * width + 9 * width * width + before * width
        norms, slopes = norms + before + 3 * width, slopes + width
        before = width
    norms += before + 8
    return kernels + 2 * norms + slopes + (before * 8 + 8)


def stats():
    """Means and variances of the BatchNorms."""
    before, norms = WIDTHS[0], WIDTHS[0]
    for width in WIDTHS:
        norms, before = norms + before + 3 * width, width
    return 2 * (norms + before + 8)


def test_collectives_of_a_text():
    text = """
  %fusion.1 = f32[3]{0} fusion(%all-reduce.7), kind=kLoop, calls=%all-reduce-like
  %all-reduce.1 = (f32[2,3]{1,0}, /*index=1*/bf16[4]{0}) all-reduce(%a, %b), channel_id=1
  ROOT %all-reduce.2 = f32[] all-reduce(%c), to_apply=%add
  %all-gather.1 = s32[8,2]{1,0} all-gather(%d), dimensions={0}
  %all-reduce-start.3 = pred[5]{0} all-reduce-start(%e)
"""
    assert traffic.collectives(text) == {
        "all-reduce": {"calls": 3, "bytes": 24 + 8 + 4 + 5},
        "all-gather": {"calls": 1, "bytes": 64},
    }


def test_a_ring_sends_nearly_twice_and_a_partitioned_head_grows_with_the_batch():
    sent = {"collectives": {"all-reduce": {"calls": 5, "bytes": 1000}}}
    sent |= {"head": 600, "embedding_size": 1}
    found = traffic.reckon(sent, devices=4, per_device_batch=2, bandwidth=750, speed=1)
    assert found["replicated"] == {
        "bytes": 1000,
        "bytes_per_image": 500,
        "seconds": 2,  # 2 * 3 / 4 * 1000 / 750
        "share": 0.5,  # of a step whose images take 2 s
    }
    assert found["partitioned"]["bytes"] == 400 + 4 * 8 * (1 + 4)  # 8 images in all
    assert found["hops"] == 5 * 6
    alone = traffic.reckon(sent, devices=1, per_device_batch=2, bandwidth=750, speed=1)
    assert alone["replicated"]["share"] == 0


def test_ratios_are_of_turns_and_what_cores_allow_stands_beside_them():
    def turn(one, two, four):
        return {
            n: {work: {"weak": s, "strong": s / n} for work in ("extraction", "training")}
            for n, s in ((1, one), (2, two), (4, four))
        }

    found = scaling_runs.rows([turn(1, 1, 2), turn(2, 4, 6), turn(4, 4.8, 8)], shares=2)
    assert [(r["work"], r["scaling"], r["processes"]) for r in found] == [
        (work, kind, n)
        for work in ("extraction", "training")
        for kind in ("weak", "strong")
        for n in (1, 2, 4)
    ]
    weak, strong = found[1], found[4]
    assert (weak["seconds"], weak["seconds_range"]) == (4, [1, 4.8])
    assert weak["ratio"] == pytest.approx(1.2) and weak["ratio_range"] == [1, 2]
    assert strong["ratio"] == pytest.approx(0.6)
    assert [row["possible"] for row in found[:6]] == [1, 1, 2, 1, 0.5, 0.5]


STEPS = f"""
{SHALLOW}
import os
import jax
from experiments import scaling_steps
from mint_jax import parallel
expected = json.loads(sys.argv.pop(1))
timed, training, told = scaling_steps._timed, scaling_steps._training, []

def tell(name, run, warm, count):
    threads = [len(os.sched_getaffinity(int(task))) for task in os.listdir("/proc/self/task")]
    assert threads.count(1) > 3  # XLA's too, not those of the imports
    told.append([name, count, len(os.sched_getaffinity(0))])
    return timed(name, run, warm, count)

def train(config):
    told.append(config.batch_size)
    return training(config)

def make_step(config, optimizer):  # instead of one that takes long to compile
    def step(state, batch):
        return state, jax.lax.pmean(batch["position"].astype(float).mean(), parallel.AXIS)
    return parallel.pmap(step, over_processes=True)

def main(argv):
    scaling_steps.main(argv)
    assert told == expected, told

scaling_steps._timed, scaling_steps._training = tell, train
scaling_steps.make_step = make_step
scaling_steps.run(main)
"""


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [["extraction weak", 8, 1], 4, ["training weak", 1, 1]]),
        (
            2,
            [["extraction weak", 8, 1], 8, ["training weak", 1, 1]]
            + [["extraction strong", 4, 1], 4, ["training strong", 1, 1]],
        ),
    ],
)
def test_processes_time_what_is_theirs_on_their_cores(tmp_path, count, expected):
    """Images of each process, batches of all, each on one core; one process does it once."""
    (tmp_path / "photo.jpg").write_bytes(jpeg(photo(0, 112, 112)))
    command = [
        *(sys.executable, "-c", STEPS, json.dumps(expected), f"--photos={tmp_path}"),
        *(f"--audited={SPEC}", "--images=8"),
        *(f"--training={json.dumps(CONFIG.to_json())}", f"--classes={CLASSES}", "--steps=1"),
    ]
    found = scaling_runs.run(command, count, tmp_path / "found.json")
    assert set(found) == {"extraction", "training"}
    for seconds in found.values():
        assert set(seconds) == {"weak", "strong"} and min(seconds.values()) > 0
        assert (seconds["weak"] == seconds["strong"]) == (count == 1)


def test_a_run_that_fails_says_why(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        scaling_runs.run([sys.executable, "-c", "exit('no photos')"], 1, tmp_path / "found.json")
    assert ended.value.code == 1 and "[0] no photos" in capsys.readouterr().err


COMMAND = """
import json, sys
from experiments import cli, scaling, scaling_runs, traffic

def measure(trainings, model, devices, per_device_batch):
    tally = {"collectives": {"all-reduce": {"calls": 3, "bytes": 4_000_000}}, "head": 3_000_000}
    tally |= {"network": 900_000, "batch_stats": 1000, "embedding_size": 8}
    found = {"devices": devices, "per_device_batch": per_device_batch, "extraction": {}}
    return found | {"training": dict.fromkeys(trainings, tally)}

def run(command, count, output):
    assert "--images=1024" in command
    return {work: {"weak": 1.5, "strong": 1.5 / count} for work in ("extraction", "training")}

traffic.measure, scaling_runs.run = measure, run
cli.run(scaling.main)
"""


def test_the_command_writes_and_prints_what_it_found(tmp_path):
    run = python(COMMAND, f"--workdir={tmp_path}", "--counts=1,2", "--turns=2", "--devices=8")
    assert run.returncode == 0, run.stderr
    found = json.loads((tmp_path / "scaling.json").read_text())
    assert [row["turns"] for row in found["rows"]] == [2] * 8
    assert found["share"] == max(1, found["cores"] // 2) and found["versions"]["jax"]
    assert len(found["arithmetic"]) == 2 * 1 * 4 and found["sent"]["devices"] == 8
    tables = [line for line in run.stdout.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in tables}) == 3
    assert "| training | strong | 2 | 0.75 (0.75 to 0.75) | 0.50 (0.50 to 0.50) |" in run.stdout
    assert "Collectives in a step of extraction, compiled for 8 devices: 0." in run.stdout
    assert "| configured | 3 | 4.00 | 0.90 | 3.00 | 0.00 | 0 |" in run.stdout
    assert len(list((tmp_path / "photos").iterdir())) == 64


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--counts=1,3", "1024 images, or a batch of 128, do not divide over 3 processes"),
        ("--devices=few", "--devices: "),
        ("--bandwidths=50", "--bandwidths: '50' is not NAME=NUMBER"),
    ],
)
def test_bad_flags_are_one_line(tmp_path, flag, words):
    run = python(COMMAND, f"--workdir={tmp_path}", flag)
    assert run.returncode == 1 and words in run.stderr and len(run.stderr.splitlines()) == 1


def python(script, *arguments):
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
