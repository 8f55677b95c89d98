"""A batch script for Slurm, of one job or, with a grid, of an array with a job for each point.

    python -m launch.slurm --nodes=2 --tasks_per_node=4 --gpus_per_node=4 --time=08:00:00 -- \
.venv/bin/python -m experiments.extract --config=FILE --workdir=DIR | sbatch

With more than one task the processes find each other through Slurm (`--multihost`). JAX gives each
task the GPU of its number on the node, so all of the node's GPUs must be visible to it. Before the
time is over the processes get SIGTERM and save, and the job queues again; so it does when Slurm
preempts it, and not when it is cancelled or when one of them fails.
"""

from absl import flags

from launch import rendering, sweep

_NAME = flags.DEFINE_string("name", "mint", "of the job")
_NODES = flags.DEFINE_integer("nodes", 1, "how many", lower_bound=1)
_TASKS = flags.DEFINE_integer("tasks_per_node", 1, "processes on each; one a GPU", lower_bound=1)
_WARNING = flags.DEFINE_integer("warning", 120, "seconds to save in", lower_bound=1)
_AT_ONCE = flags.DEFINE_integer("at_once", None, "jobs of an array that may run together")
_OPTIONS = {
    "account": flags.DEFINE_string("account", None, "who pays"),
    "partition": flags.DEFINE_string("partition", None, "where"),
    "qos": flags.DEFINE_string("qos", None, "quality of service"),
    "time": flags.DEFINE_string("time", None, "limit, such as 08:00:00"),
    "mem": flags.DEFINE_string("mem", None, "memory of a node, such as 64G"),
    "cpus-per-task": flags.DEFINE_integer("cpus_per_task", None, "cores of a process"),
    "gpus-per-node": flags.DEFINE_integer("gpus_per_node", None, "of each node"),
}


def render(command: list[str]) -> str:
    """The batch script.

    Raises:
      ValueError: a grid of another form, or an option with characters that need quoting.
    """
    several = ["--multihost"] if _NODES.value * _TASKS.value > 1 else []
    options = {"job-name": _NAME.value, "nodes": _NODES.value, "ntasks-per-node": _TASKS.value}
    options |= {option: flag.value for option, flag in _OPTIONS.items() if flag.value is not None}
    return rendering.fill(
        "slurm.sh.j2",
        options=options,
        warning=_WARNING.value,
        at_once=_AT_ONCE.value,
        commands=[[*words, *several] for words in sweep.commands(command, sweep.GRID.value)],
    )


if __name__ == "__main__":
    rendering.run(render)
