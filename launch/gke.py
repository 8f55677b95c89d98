"""A JobSet for Google Kubernetes Engine: pods of one command, on TPUs, GPUs or processors.

    python -m launch.gke --name=glint --image=IMAGE --pods=4 --tpu=tpu-v5-lite-podslice \
--topology=4x4 --chips=4 --claim=runs -- python -m experiments.extract --config=FILE \
--workdir=/runs/glint --config.store=gs://BUCKET/glint | kubectl apply -f -

TPUs find each other by themselves; other pods by the name of the first one. A pod that is evicted,
or ends with 143 after SIGTERM, restarts all of them as often as that happens; other failures do so
`--restarts` times. What a command is to go on with lies in a bucket, or on the volume of `--claim`,
which is mounted at /runs.
"""

import re

from absl import flags

from launch import rendering

_NAME = flags.DEFINE_string("name", "mint", "of the JobSet")
_NAMESPACE = flags.DEFINE_string("namespace", "default", "in which it lies")
_IMAGE = flags.DEFINE_string("image", None, "container image", required=True)
_PODS = flags.DEFINE_integer("pods", 1, "how many; on TPUs, hosts of the slice", lower_bound=1)
_TPU = flags.DEFINE_string("tpu", None, "accelerator of the nodes, as GKE calls it")
_TOPOLOGY = flags.DEFINE_string("topology", None, "of the slice, such as 4x4; with --tpu")
_GPU = flags.DEFINE_string("gpu", None, "accelerator of the nodes, as GKE calls it")
_CHIPS = flags.DEFINE_integer("chips", None, "TPU chips or GPUs of a pod", lower_bound=1)
_CPU = flags.DEFINE_string("cpu", None, "cores of a pod")
_MEMORY = flags.DEFINE_string("memory", None, "of a pod, such as 32Gi")
_SPOT = flags.DEFINE_bool("spot", False, "on nodes that may be taken away")
_ACCOUNT = flags.DEFINE_string("service_account", None, "of Kubernetes, for buckets")
_CLAIM = flags.DEFINE_string("claim", None, "PersistentVolumeClaim that all pods may write to")
_RESTARTS = flags.DEFINE_integer("restarts", 3, "after failures", lower_bound=0)
_GRACE = flags.DEFINE_integer("grace", 120, "seconds to save in", lower_bound=1)
_PORT = 8476


def render(command: list[str]) -> str:
    """The JobSet in YAML.

    Raises:
      ValueError: a name that no host can have, or accelerators that do not fit together.
    """
    name = _NAME.value
    if not re.fullmatch(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", name):
        raise ValueError(f"--name={name}: lower case letters, digits and -, 40 at most")
    if _TPU.value and _GPU.value or bool(_TPU.value) != bool(_TOPOLOGY.value):
        raise ValueError("either --tpu with --topology, or --gpu")
    if bool(_TPU.value or _GPU.value) != bool(_CHIPS.value):
        raise ValueError("--chips goes with --tpu or --gpu")
    nodes = {
        "cloud.google.com/gke-tpu-accelerator": _TPU.value,
        "cloud.google.com/gke-tpu-topology": _TOPOLOGY.value,
        "cloud.google.com/gke-accelerator": _GPU.value,
        "cloud.google.com/gke-spot": "true" if _SPOT.value else None,
    }
    limits = {
        "google.com/tpu" if _TPU.value else "nvidia.com/gpu": _CHIPS.value,
        "cpu": _CPU.value,
        "memory": _MEMORY.value,
    }
    literal = [word.replace("$(", "$$(") for word in command]  # Kubernetes fills in $(NAME)
    return rendering.fill(
        "jobset.yaml.j2",
        name=name,
        namespace=_NAMESPACE.value,
        image=_IMAGE.value,
        pods=_PODS.value,
        nodes=_given(nodes),
        limits=_given(limits),
        service_account=_ACCOUNT.value,
        claim=_CLAIM.value,
        restarts=_RESTARTS.value,
        grace=_GRACE.value,
        command=[*literal, *_others(name)],
    )


def _others(name: str) -> list[str]:
    """Flags by which the pods find each other."""
    if _PODS.value == 1:
        return []
    if _TPU.value:
        return ["--multihost"]
    coordinator = f"--coordinator={name}-workers-0-0.{name}:{_PORT}"
    return [coordinator, f"--processes={_PODS.value}", "--process=$(PROCESS)"]


def _given(values: dict) -> dict:
    return {key: value for key, value in values.items() if value is not None}


if __name__ == "__main__":
    rendering.run(render)
