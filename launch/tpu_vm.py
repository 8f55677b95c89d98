"""A script that makes a TPU VM, brings this project onto it, and runs a command on all its hosts.

    python -m launch.tpu_vm --name=glint --project=PROJECT --zone=ZONE --spot --output=glint.sh \
--accelerator_type=v5litepod-16 --runtime_version=v2-alpha-tpuv5-lite -- \
python -m experiments.extract --config=FILE --workdir=DIR --config.store=gs://BUCKET/glint

The script, which is started in the project's folder, makes the machine anew when it was taken away
and runs the command again, `--restarts` times at most. A disk goes with its machine: what the
command is to go on with lies in a bucket. `python` in the command is that of the environment which
the script makes on each host with `--python`, after `--prepare`. It uses the login that gcloud has;
the machine is left running.
"""

import shlex

from absl import flags

from launch import rendering

_NAME = flags.DEFINE_string("name", "mint", "of the machine")
_PROJECT = flags.DEFINE_string("project", None, "of Google Cloud", required=True)
_ZONE = flags.DEFINE_string("zone", None, "where", required=True)
_TYPE = flags.DEFINE_string("accelerator_type", None, "such as v5litepod-16", required=True)
_VERSION = flags.DEFINE_string("runtime_version", None, "of its system", required=True)
_SPOT = flags.DEFINE_bool("spot", False, "a machine that may be taken away")
_ACCOUNT = flags.DEFINE_string("service_account", None, "of the machine, for buckets")
_PREPARE = flags.DEFINE_string("prepare", "true", "shell command on each host before the set-up")
_PYTHON = flags.DEFINE_string("python", "python3", "Python >= 3.11 of each host")
_RESTARTS = flags.DEFINE_integer("restarts", 10, "at most", lower_bound=0)


def render(command: list[str]) -> str:
    """The script."""
    create = [f"--accelerator-type={_TYPE.value}", f"--version={_VERSION.value}"]
    create += ["--spot"] if _SPOT.value else []
    create += [f"--service-account={_ACCOUNT.value}"] if _ACCOUNT.value else []
    return rendering.fill(
        "tpu_vm.sh.j2",
        name=_NAME.value,
        place=[f"--project={_PROJECT.value}", f"--zone={_ZONE.value}"],
        create=create,
        setup=" && ".join(
            (
                _PREPARE.value,
                f"{shlex.quote(_PYTHON.value)} -m venv .venv",
                ".venv/bin/python -m pip install -q -c constraints.txt -e '.[tpu]'",
            )
        ),
        restarts=_RESTARTS.value,
        command=[*command, "--multihost"],
    )


if __name__ == "__main__":
    rendering.run(render)
