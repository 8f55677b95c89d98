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


def describe() -> dict:
    """JSON-able {"date", "device", "versions"} of this run."""
    device = jax.local_devices()[0]
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": f"{jax.local_device_count()} x {device.device_kind} ({platform.machine()})",
        "versions": {
            "mint-jax": mint_jax.__version__,
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in _PACKAGES},
        },
    }
