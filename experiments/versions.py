"""What a result was measured with: date, device, versions."""

import datetime
import platform
from importlib import metadata

import jax

import mint_jax

_PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "grain",
    "numpy",
    "scipy",
)


def describe(*, device: bool = True) -> dict:
    """JSON-able {"date", "device", "versions"} of this run; without "device" none is asked for."""
    found = {"date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")}
    if device:
        kind = jax.local_devices()[0].device_kind
        found["device"] = f"{jax.local_device_count()} x {kind} ({platform.machine()})"
    found["versions"] = {
        "mint-jax": mint_jax.__version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in _PACKAGES},
    }
    return found
