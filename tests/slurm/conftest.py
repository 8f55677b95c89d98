"""A Slurm of one node on this machine, from daemons that begin and end with the tests."""

import os
import pwd
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Jobs of `all` have time to save when one of `urgent` comes, those of `hasty` only KillWait's.
CONFIG = """
ClusterName=mint
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
MailProg=/bin/true
KillWait=5
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=2
PartitionName=all Nodes={host} Default=YES PriorityTier=1 GraceTime=100
PartitionName=hasty Nodes={host} PriorityTier=1
PartitionName=urgent Nodes={host} PriorityTier=2
"""
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"}


class Slurm:
    """Daemons with all their files in a folder, and jobs."""

    def __init__(self, folder: Path):
        self._folder, self._daemons = folder, []
        self._environment = {
            **os.environ,
            "PATH": f"{os.environ['PATH']}:/usr/sbin",
            "SLURM_CONF": str(folder / "slurm.conf"),
            "JAX_PLATFORMS": "cpu",
            "NPROC": "4",  # threads of XLA, on which the last bits depend
        }

    def start(self) -> None:
        """Until the node is ready for jobs."""
        for name in ("state", "spool"):
            (self._folder / name).mkdir()
        key = self._folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(1024))
        host = socket.gethostname().partition(".")[0]
        user = pwd.getpwuid(os.geteuid()).pw_name
        config = CONFIG.format(folder=self._folder, host=host, user=user, ports=free_ports(2))
        (self._folder / "slurm.conf").write_text(config)
        # Nothing here uses cgroups; older versions must still be able to load a plugin for them.
        plugin = "disabled" if self.version() >= (23, 11) else "cgroup/v1"
        (self._folder / "cgroup.conf").write_text(f"CgroupPlugin={plugin}\n")
        places = {"key-file": "key", "socket": "socket", "pid-file": "pid"}
        places |= {"log-file": "log", "seed-file": "seed"}
        munge = [f"--{flag}={self._folder}/munge.{end}" for flag, end in places.items()]
        self._daemon("munged", "--foreground", "--force", *munge)
        self._until("munged", (self._folder / "munge.socket").exists)
        self._daemon("slurmctld", "-D")
        self._daemon("slurmd", "-D")
        self._until("the node", lambda: self.run("sinfo", "-ho", "%T", check=False) == "idle\n")

    def stop(self) -> None:
        """Ends all jobs, whose processes would outlive the daemons, and then those."""
        try:
            if self._daemons[1:]:
                self.run("scancel", f"--user={os.geteuid()}", check=False)
                self._until("the end of all jobs", lambda: not self.run("squeue", "-h"))
        finally:
            for daemon in reversed(self._daemons):
                daemon.terminate()
                try:
                    daemon.wait(timeout=30)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait()

    def version(self) -> tuple[int, ...]:
        """Such as (22, 5, 8)."""
        return tuple(map(int, re.findall(r"\d+", self.run("sinfo", "--version"))))

    def submit(self, command: list[str], *options: str) -> str:
        """What `python -m launch.slurm OPTIONS -- COMMAND | sbatch` starts: the job's number."""
        text = self.run(sys.executable, "-m", "launch.slurm", *options, "--", *command)
        output = f"--output={self._folder}/%j.out"
        return self.run("sbatch", "--parsable", output, text=text).strip()

    def job(self, number: str) -> dict[str, str]:
        """What Slurm says of a job."""
        said = self.run("scontrol", "show", "job", "-o", number)
        return dict(re.findall(r"(\S+?)=(\S*)", said))

    def output(self, number: str) -> str:
        """What a job has written so far."""
        path = Path(self.job(number)["StdOut"])
        return path.read_text() if path.exists() else ""

    def until(
        self, number: str, happened: Callable[[dict[str, str]], bool], seconds: float = 600
    ) -> dict[str, str]:
        """What Slurm says of a job when something happened, of which it must not end short."""
        end = time.monotonic() + seconds
        while not happened(found := self.job(number)):
            if found["JobState"] in ENDED or time.monotonic() > end:
                pytest.fail(f"job {number}: {found}\n{self.output(number)}\n{self._logs()}")
            time.sleep(0.2)
        return found

    def done(self, number: str) -> dict[str, str]:
        """Waits for a job's good end."""
        return self.until(number, lambda found: found["JobState"] == "COMPLETED")

    def done_again(self, number: str) -> dict[str, str]:
        """Waits for a job that queues again, and for its good end."""
        self.until(
            number, lambda found: found["Restarts"] == "1" and found["JobState"] == "PENDING"
        )
        # Slurm's own delay is of two minutes; without any, old credentials are in the way.
        soon = "StartTime=now+10", "TimeLimit=120"
        self.run("scontrol", "update", f"JobId={number}", *soon)
        return self.done(number)

    def run(self, *command: str, text: str = "", check: bool = True) -> str:
        """What a command prints, here and not in a job."""
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self._environment,
            input=text,
            capture_output=True,
            text=True,
        )
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)}: {done.stderr}\n{self._logs()}")
        return done.stdout

    def _daemon(self, *command: str) -> None:
        with open(self._folder / f"{command[0]}.log", "w") as log:
            self._daemons.append(
                subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
            )

    def _until(self, what: str, happened: Callable[[], bool]) -> None:
        end = time.monotonic() + 120
        while not happened():
            if time.monotonic() > end or any(daemon.poll() is not None for daemon in self._daemons):
                pytest.fail(f"waited for {what} in vain\n{self._logs()}")
            time.sleep(0.2)

    def _logs(self) -> str:
        """The ends of what the daemons wrote."""
        paths = sorted(self._folder.glob("*.log"))
        return "\n".join(f"{path.name}:\n{path.read_text()[-4000:]}" for path in paths)


def free_ports(count: int) -> list[int]:
    """Different ones."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    if os.environ.get("MINT_TEST_SLURM") != "1":
        pytest.skip("set MINT_TEST_SLURM=1 (make test-slurm)")
    cluster = Slurm(tmp_path_factory.mktemp("slurm"))
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # which ends fixtures, too
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        signal.signal(signal.SIGTERM, before)
