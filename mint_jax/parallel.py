"""The one place that knows about devices and processes: `jax.pmap`, and JAX's distributed runtime.

Since JAX 0.8 `jax.pmap` is `jit(shard_map)` underneath. Nothing else in the project calls it, so
that one file changes with it.
"""

import contextlib
import itertools
import os
import socket
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mint_jax import memory
from mint_jax.errors import InputError

AXIS = "devices"
JOIN_SECONDS = 300  # how long processes wait until all have come
HEARTBEAT_SECONDS = 60  # how long after one process dies the others learn of it, and end
_STOPPING_SECONDS = 20  # of the grace that clusters give, some time to save in is left
_PIECE_BYTES = 1 << 26
_CORES = 8  # of more, each program has several: every device holds its share of images and maps
_FOREVER_MS = 30 * 24 * 3600 * 1000
_meetings = itertools.count()


def join(coordinator: str | None, processes: int | None, process: int | None) -> None:
    """Makes this process one of several; to be called before anything uses a device.

    What is None is found out under Slurm, Open MPI, TPU VMs and GKE. JAX ends this process with a
    trace of its stack when it has waited longer than `JOIN_SECONDS`.

    Args:
      coordinator: host:port of process 0, where it will listen.
      processes: how many there are.
      process: which one this is, from 0.

    Raises:
      InputError: what is None cannot be found out, or the numbers make no sense.
    """
    # SIGTERM is the business of `preemption`; JAX's service would only note it, everywhere.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            initialization_timeout=JOIN_SECONDS + 10,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"the other processes are not found: {error} Where no cluster names them, "
            "--coordinator, --processes and --process do"
        ) from None


def divide_cores() -> None:
    """Makes each core of a CPU a device, up to `_CORES`; to be called before anything uses one.

    One program leaves cores idle where its products wait for what lies between them; programs that
    share the images do not. What the user chose stays, and accelerators do not mind.
    """
    if "JAX_NUM_CPU_DEVICES" not in os.environ:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        jax.config.update("jax_num_cpu_devices", min(cores or 1, _CORES))


def process_index() -> int:
    """Which of the processes this is; process 0 prints, and writes what there is once."""
    return jax.process_index()


def process_count() -> int:
    """How many processes share the work."""
    return jax.process_count()


def barrier(name: str) -> None:
    """Waits until every process is here, however long; all come to all barriers in one order.

    A process that dies ends those who wait within `HEARTBEAT_SECONDS`.
    """
    key = f"mint/{next(_meetings)}/{name}"
    ocp.multihost.get_barrier_sync_fn()(key=key, timeout_ms=_FOREVER_MS)


def await_stopping() -> None:
    """Of a process that was stopped: waits a while until the others have saved and come here, too.

    When process 0 leaves, the others end wherever they are.
    """
    if process_count() == 1:
        return
    with contextlib.suppress(jax.errors.JaxRuntimeError):  # they are not stopping
        wait = ocp.multihost.get_barrier_sync_fn()
        wait(key="mint/stopping", timeout_ms=_STOPPING_SECONDS * 1000)


def alone() -> ocp.options.MultiprocessingOptions:
    """Orbax's options for what one process reads or writes by itself; else it awaits the others."""
    own = process_index()
    return ocp.options.MultiprocessingOptions(primary_host=own, active_processes={own})


@contextlib.contextmanager
def process_0_first(name: str) -> Iterator[None]:
    """The others wait with what is within until process 0 did it."""
    if process_index():
        barrier(name)
    yield
    if not process_index():
        barrier(name)


def gather(tree: Any) -> Any:
    """The arrays of all processes: (...) becomes (process_count(), ...), NumPy, everywhere.

    Processes come to it at about the same time, so after a `barrier` where their work differs.
    They are sent as bytes, because JAX would round what has 64 bits.
    """
    return jax.tree.map(_gathered, tree)


def _gathered(x: Any) -> np.ndarray:
    x = np.asarray(x)
    if process_count() == 1:
        return x[None]
    sent = multihost_utils.process_allgather(np.frombuffer(x.tobytes(), np.uint8))
    return np.frombuffer(sent.tobytes(), x.dtype).reshape(process_count(), *x.shape)


def agree(flag: bool) -> bool:
    """Whether any process says so; all of them call it, and get the same answer."""
    return flag if process_count() == 1 else bool(gather(np.array(flag)).any())


def own_part(count: int) -> slice:
    """Which of `count` images of a batch are this process's.

    Raises:
      InputError: they do not divide over the processes.
    """
    size, rest = divmod(count, process_count())
    if rest:
        raise InputError(f"a batch of {count} does not divide over {process_count()} processes")
    return slice(process_index() * size, (process_index() + 1) * size)


def own_rows(count: int, multiple: int) -> np.ndarray:
    """Which of `count` rows this process reads, for `gather_rows`: one block, equally long for all.

    It begins at a multiple of `multiple`. Behind the end the last row is repeated.
    """
    processes = process_count()
    share = min(count, -(-count // (processes * multiple)) * multiple)
    return np.minimum(process_index() * share + np.arange(share), count - 1)


def gather_rows(
    own: np.ndarray,
    count: int,
    new: Callable[[tuple[int, ...], np.dtype], np.ndarray] = np.empty,
) -> np.ndarray:
    """All rows (count, ...) of an array, of which each process has its `own_rows`.

    Sent in pieces of `_PIECE_BYTES`, so that devices need not hold more, into what `new` makes.
    """
    if process_count() == 1:
        return own
    whole = new((count, *own.shape[1:]), own.dtype)
    step = max(1, _PIECE_BYTES // max(1, own[:1].nbytes))
    for i in range(0, len(own), step):
        for process, piece in enumerate(gather(own[i : i + step])):
            place = whole[process * len(own) + i :][: len(piece)]
            place[:] = piece[: len(place)]
    return whole


def device_count() -> int:
    """Number of devices of this process."""
    return jax.local_device_count()


def free_memory() -> tuple[int, int]:
    """Bytes that are free on each device, and in the machine for each process.

    It is the least that any process has, so that all get the same answer; they come to it as to
    `gather`. Processes of one machine share its memory, and so do devices that have none of
    their own.
    """
    devices = jax.local_devices()
    told = [device.memory_stats() or {} for device in devices]
    own = min(x["bytes_limit"] - x["bytes_in_use"] if "bytes_limit" in x else -1 for x in told)
    machine = zlib.crc32(socket.gethostname().encode())
    every = gather(np.array([own, memory.available(), machine, len(devices)]))
    own, left, machine, count = every.T
    left = left // (machine[:, None] == machine).sum(axis=1)
    return int(np.where(own < 0, left // count, own).min()), int(left.min())


def pmap(
    function: Callable, *, donate_argnums: tuple[int, ...] = (), over_processes: bool = False
) -> Callable:
    """Maps `function` over devices; collectives use the axis name `AXIS`.

    Every argument and result has a leading axis of length `device_count()`: this process's share
    of the axis where it goes `over_processes`, which then all call it alike.
    """
    devices = None if over_processes else jax.local_devices()
    return jax.pmap(function, axis_name=AXIS, donate_argnums=donate_argnums, devices=devices)


def _put(tree: Any) -> Any:
    mesh = Mesh(np.asarray(jax.local_devices()), (AXIS,))
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec(AXIS)))


def replicate(tree: Any) -> Any:
    """Copies each array of `tree` to every device: (...) becomes (device_count(), ...)."""
    count = device_count()
    return _put(jax.tree.map(lambda x: np.broadcast_to(x, (count, *np.shape(x))), tree))


def unreplicate(tree: Any) -> Any:
    """The first device's copy of a replicated `tree`."""
    return jax.tree.map(lambda x: x.addressable_data(0)[0], tree)


def shard(tree: Any) -> Any:
    """Splits the leading axis over the devices: (D * b, ...) becomes (D, b, ...), on the devices.

    Raises:
      ValueError: the leading axis is no multiple of `device_count()`.
    """
    count = device_count()

    def split(x: np.ndarray) -> np.ndarray:
        if x.shape[0] % count:
            raise ValueError(f"a batch of {x.shape[0]} does not divide over {count} devices")
        return x.reshape(count, x.shape[0] // count, *x.shape[1:])

    return _put(jax.tree.map(split, tree))


def unshard(tree: Any) -> Any:
    """The inverse of `shard`, as NumPy arrays: (D, b, ...) becomes (D * b, ...)."""

    def join(x: jax.Array) -> np.ndarray:
        x = np.asarray(x)
        return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])

    return jax.tree.map(join, tree)
