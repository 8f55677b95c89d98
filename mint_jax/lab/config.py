"""What decides how an audited model is trained."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from mint_jax.errors import InputError

HEADS = ("cosface", "softmax")
OPTIMIZERS = ("sgd", "adamw")


@dataclass(frozen=True)
class TrainConfig:
    """One training of an audited model; equal configurations and images give equal weights.

    Attributes:
      architecture: of `mint_jax.audited.save`: {"kind": "iresnet", "name", "width",
        "embedding_size", "input_size"}.
      head: "cosface" (scale and margin apply), or "softmax" over classes, say attributes.
      scale, margin: CosFace's s and m.
      epochs: passes over the images; each drops the images that do not fill a batch.
      batch_size: images a step, over all devices.
      optimizer: "sgd" or "adamw", under a cosine schedule after a linear warm-up.
      learning_rate: at the end of the warm-up.
      warmup_epochs: length of the warm-up.
      momentum: of SGD.
      weight_decay: of every array with two axes or more, the head's among them.
      flip: whether images are mirrored at random.
      shift: largest random translation in pixels of the network's input, along each axis.
      seed: of the initial weights, the order of the images and the augmentation.
      bfloat16: whether activations are bfloat16; None means on accelerators only.
    """

    architecture: Mapping
    head: str = "cosface"
    scale: float = 64.0
    margin: float = 0.4
    epochs: int = 30
    batch_size: int = 128
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    warmup_epochs: float = 1.0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    flip: bool = True
    shift: int = 2
    seed: int = 0
    bfloat16: bool | None = None

    def __post_init__(self):
        """Raises InputError where a choice is unknown or a number makes no sense."""
        for name, known in (("head", HEADS), ("optimizer", OPTIMIZERS)):
            if getattr(self, name) not in known:
                raise InputError(
                    f"{name} is {getattr(self, name)!r}, not one of {', '.join(known)}"
                )
        if self.architecture.get("kind") != "iresnet":
            raise InputError(f"the lab trains IResNets only, not {dict(self.architecture)}")
        for name in ("epochs", "batch_size", "learning_rate", "scale"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be positive")
        if self.shift < 0:
            raise InputError(f"shift is {self.shift}; it must not be negative")

    def to_json(self) -> dict:
        """The configuration as JSON-able values; `TrainConfig(**it)` is an equal one."""
        return {**asdict(self), "architecture": dict(self.architecture)}
