"""What the renderers print: YAML of the right form, scripts that run, arguments untouched."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = [
    "it's",
    "$(touch hurt)",
    "`touch hurt`",
    'a "b"; touch hurt',
    "*",
    "\\",
    "--x={{ 1 }}",
    "é",
]
SHOW = [sys.executable, "-c", "import json, sys; print(json.dumps(sys.argv[1:]))"]
TPU_VM = ["--project=p", "--zone=z", "--accelerator_type=v5litepod-16", "--runtime_version=v2"]


def run(module, *arguments, command=("python", *HOSTILE, "--workdir=runs/x")):
    return subprocess.run(
        [sys.executable, "-m", f"launch.{module}", *arguments, "--", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def render(module, *arguments, **options):
    done = run(module, *arguments, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def script(tmp_path, text, **stubs):
    """Starts a rendered script where the commands of the cluster are stubs."""
    assert subprocess.run(["bash", "-n"], input=text, text=True).returncode == 0
    if shutil.which("shellcheck"):
        check = ["shellcheck", "--severity=warning", "-"]
        checked = subprocess.run(check, input=text, text=True, capture_output=True)
        assert checked.returncode == 0, checked.stdout
    for name, body in stubs.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "script").write_text(text)
    return subprocess.Popen(
        ["bash", tmp_path / "script"],
        cwd=ROOT,
        env={
            **os.environ,
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "STUBS": str(tmp_path),
            "SLURM_ARRAY_JOB_ID": "17",
            "SLURM_ARRAY_TASK_ID": "1",
            "SLURM_JOB_ID": "18",
        },
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_sweep_has_a_line_and_a_folder_for_each_point():
    grid = ["--grid=config.seed=0,1", '--grid=config.layers="a,b",$(touch hurt)/..']
    lines = [shlex.split(line) for line in render("sweep", *grid).splitlines()]
    assert [line[1:-3] for line in lines] == [HOSTILE] * 4
    assert [line[-2:] for line in lines] == [
        [f"--config.seed={seed}", f"--config.layers={layers}"]
        for seed in "01"
        for layers in ("a,b", "$(touch hurt)/..")
    ]
    folders = [line[-3].removeprefix("--workdir=") for line in lines]
    assert folders[0] == "runs/x/config.seed=0,config.layers=a%2Cb"
    assert len({*folders}) == 4 and {str(Path(folder).parent) for folder in folders} == {"runs/x"}


def test_an_array_job_runs_its_point_with_the_arguments_as_they_are(tmp_path):
    text = render(
        "slurm",
        "--grid=config.seed=0,1",
        "--nodes=2",
        "--account=a",
        command=SHOW + HOSTILE + ["--workdir=w"],
    )
    directives = [line for line in text.splitlines() if line.startswith("#SBATCH")]
    assert {"#SBATCH --array=0-1", "#SBATCH --nodes=2", "#SBATCH --account=a"} < set(directives)
    out, _ = script(tmp_path, text, srun='shift; exec "$@"').communicate()
    point = ["--workdir=w/config.seed=1", "--config.seed=1", "--multihost"]
    assert json.loads(out) == [*HOSTILE, *point]
    assert not (ROOT / "hurt").exists()


SRUN = """
trap 'exit $STATUS' TERM
echo $$ > "$STUBS/pid"
echo ready
while :; do sleep 0.05; done
"""
# Of several tasks srun has the highest status. Where one ends the others, that is SIGTERM's.
FAILURE = """
case $1 in
--kill-on-bad-exit=0) exit 134 ;;
*) exit 143 ;;
esac
"""


SCONTROL = """
case $1 in
show) echo "PreemptEligibleTime=2026-01-01T00:00:00 PreemptTime=2026-01-01T00:00:01" ;;
*) echo scontrol "$@" ;;
esac
"""


@pytest.mark.parametrize("grid", [[], ["--grid=config.seed=0,1"]])
@pytest.mark.parametrize("warned", [True, False])
@pytest.mark.parametrize("status", [143, 134, 1])
def test_a_job_queues_again_when_its_processes_were_stopped(tmp_path, grid, warned, status):
    """By the warning, or by Slurm itself to make room; of an array no other job is touched."""
    text = render("slurm", *grid, command=["anything", "--workdir=w"])
    job = script(
        tmp_path,
        text,
        srun=SRUN.replace("$STATUS", str(status)),
        scancel='echo scancel "$@"; kill -TERM "$(cat "$STUBS/pid")"',
        scontrol=SCONTROL,
    )
    assert job.stdout.readline() == "ready\n"
    if warned:
        job.send_signal(signal.SIGUSR1)
    else:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)
    out, _ = job.communicate()
    name = "17_1" if grid else "18"
    said = [f"scancel --signal=TERM {name}"] if warned else []
    said += [f"scontrol requeue {name}"] if status != 1 else []
    assert (job.returncode, out.splitlines()) == (status, said)


def test_a_job_whose_process_failed_does_not_queue_again(tmp_path):
    text = render("slurm", "--tasks_per_node=2", command=["anything"])
    scontrol = SCONTROL.replace("PreemptTime=2026-01-01T00:00:01", "PreemptTime=None")
    job = script(tmp_path, text, srun=FAILURE, scontrol=scontrol)
    out, _ = job.communicate()
    assert (job.returncode, out) == (134, "")


REQUIRED = {  # of JobSet v1alpha2 and of Job v1, with the types of their values
    "apiVersion": str,
    "kind": str,
    "metadata.name": str,
    "spec.failurePolicy.maxRestarts": int,
    "spec.failurePolicy.rules.0.action": str,
    "spec.replicatedJobs.0.name": str,
    "spec.replicatedJobs.0.replicas": int,
}
JOB = {
    "parallelism": int,
    "completions": int,
    "completionMode": str,
    "backoffLimit": int,
    "podFailurePolicy.rules.0.onPodConditions.0.type": str,
    "podFailurePolicy.rules.0.onPodConditions.0.status": str,
    "podFailurePolicy.rules.1.onExitCodes.values.0": int,
    "template.spec.restartPolicy": str,
    "template.spec.containers.0.name": str,
    "template.spec.containers.0.image": str,
    "template.spec.containers.0.command.0": str,
    "template.spec.containers.0.resources.limits": dict,
}


def at(tree, path):
    for key in path.split("."):
        tree = tree[int(key) if isinstance(tree, list) else key]
    return tree


@pytest.mark.parametrize(
    ("arguments", "others"),
    [
        ([], []),
        (
            ["--pods=4", "--tpu=tpu-v5-lite-podslice", "--topology=4x4", "--chips=4"],
            ["--multihost"],
        ),
        (
            ["--pods=2", "--gpu=nvidia-l4", "--chips=1", "--spot", "--claim=c", "--cpu=4"],
            ["--coordinator=mint-workers-0-0.mint:8476", "--processes=2", "--process=$(PROCESS)"],
        ),
    ],
)
def test_a_jobset_has_the_form_of_its_schema(arguments, others):
    jobset = yaml.safe_load(render("gke", "--image=registry/mint:1", *arguments))
    job = at(jobset, "spec.replicatedJobs.0.template.spec")
    for tree, required in ((jobset, REQUIRED), (job, JOB)):
        for path, kind in required.items():
            assert type(at(tree, path)) is kind, path
    assert (jobset["apiVersion"], jobset["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    assert job["parallelism"] == job["completions"]
    pod = at(job, "template.spec")
    (main,) = pod["containers"]
    assert at(job, "podFailurePolicy.rules.1.onExitCodes.containerName") == main["name"]
    literal = [word.replace("$(", "$$(") for word in HOSTILE]
    assert main["command"] == ["python", *literal, "--workdir=runs/x", *others]
    mounts = {mount["name"] for mount in main.get("volumeMounts", [])}
    assert mounts == {volume["name"] for volume in pod.get("volumes", [])}
    assert bool(mounts) == ("--claim=c" in arguments)
    if "--spot" in arguments:
        assert main["resources"]["limits"] == {"nvidia.com/gpu": 1, "cpu": "4"}
        assert pod["nodeSelector"] == {
            "cloud.google.com/gke-accelerator": "nvidia-l4",
            "cloud.google.com/gke-spot": "true",
        }


GCLOUD = """
verb=$4; shift 5
echo "$verb" >> "$STUBS/calls"
case $verb in
describe) cat "$STUBS/state" 2> /dev/null ;;
create) echo READY > "$STUBS/state" ;;
delete) rm "$STUBS/state" ;;
ssh)
  case $* in
  *"exec "*)
    runs=$(grep -c . "$STUBS/runs" 2> /dev/null)
    echo x >> "$STUBS/runs"
    if [ "$runs" = 1 ]; then echo PREEMPTED > "$STUBS/state"; exit 255; fi
    if [ "$runs" = 2 ]; then exit $STATUS; fi
    command=${2#--command=}
    eval "( ${command#*activate && } )" > "$STUBS/seen"
    exit 143 ;;
  esac ;;
esac
"""


@pytest.mark.parametrize("status", [0, 3])
def test_a_tpu_vm_is_made_anew_and_gets_the_arguments_as_they_are(tmp_path, status):
    """First the command ends with 143, then the machine is taken away, then the end or an error."""
    text = render("tpu_vm", *TPU_VM, "--spot", command=SHOW + HOSTILE)
    gcloud = GCLOUD.replace("$STATUS", str(status))
    job = script(tmp_path, text, gcloud=gcloud, git="true")
    job.communicate()
    assert job.returncode == status
    assert json.loads((tmp_path / "seen").read_text()) == [*HOSTILE, "--multihost"]
    calls = (tmp_path / "calls").read_text().split()
    assert (calls.count("create"), calls.count("delete"), calls.count("scp")) == (2, 1, 3)
    assert not (ROOT / "hurt").exists()


@pytest.mark.parametrize(
    ("module", "arguments", "words"),
    [
        ("sweep", ["--grid=config.seed"], "FLAG=VALUE"),
        ("slurm", ["--account=a b"], "'a b'"),
        ("slurm", ["--name=x\n#SBATCH --uid=0"], "no place"),
        ("gke", ["--image=i", "--name=Mint"], "--name=Mint"),
        ("gke", ["--image=i", "--tpu=t"], "--topology"),
        ("gke", ["--image=i", "--chips=1"], "--chips"),
        ("tpu_vm", TPU_VM[1:], "--project"),
        ("sweep", ["--output=/nowhere/file"], "/nowhere/file: No such file"),
    ],
)
def test_what_cannot_be_rendered_is_refused(module, arguments, words):
    done = run(module, *arguments)
    assert done.returncode == 1 and not done.stdout
    assert words in done.stderr and "Traceback" not in done.stderr


def test_a_grid_needs_a_folder():
    done = run("sweep", "--grid=config.seed=0,1", command=["python"])
    assert done.returncode == 1 and "--workdir=DIR" in done.stderr
