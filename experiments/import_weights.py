"""Ports an InsightFace recognition network and verifies it against onnxruntime.

    python -m experiments.import_weights --onnx=glintr100.onnx --output=models/glintr100

The folder is an audited model: `mint_jax.audited.load("models/glintr100")`.
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments import cli
from mint_jax import audited
from mint_jax.audited.onnx_model import import_iresnet

_ONNX = flags.DEFINE_string("onnx", None, "an IResNet in ONNX", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "folder of the imported model", required=True)


def main(argv: Sequence[str]) -> None:
    """Imports, verifies, stores, and prints what was found."""
    del argv
    model = import_iresnet(Path(_ONNX.value))
    shape = model.architecture
    print(
        f"{model.name}: {shape['name']}, {model.info['parameters']:,} parameters, "
        f"embedding {shape['embedding_size']}, input {model.input_size}"
    )
    print(f"training database: {model.info['training_database']}")
    print(f"SHA-256 of the file: {model.sha256}")
    for layer, error in model.info["relative_error"].items():
        print(f"{layer:8} relative error against onnxruntime {error:.1e}")
    audited.save(
        _OUTPUT.value,
        architecture=model.architecture,
        variables=model.variables,
        preprocessing=model.preprocessing,
        info=model.info,
        source_sha256=model.sha256,
    )
    print(f"stored in {_OUTPUT.value}")


if __name__ == "__main__":
    cli.run(main)
