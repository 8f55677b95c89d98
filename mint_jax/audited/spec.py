"""From what a user writes to an audited model."""

from pathlib import Path

from mint_jax.audited import iresnet_model
from mint_jax.audited.iresnet import BLOCKS
from mint_jax.audited.model import AuditedModel, Preprocessing
from mint_jax.errors import InputError

SHIPPED = {name: Path(__file__).with_name(name) for name in ("embedded", "embedded_other")}
_KEYS = {"width": float, "embedding_size": int, "input_size": int}


def load(spec: str | Path, preprocessing: Preprocessing | None = None) -> AuditedModel:
    """The audited model that `spec` means.

    Args:
      spec: an .onnx file; a folder written by `save` or `experiments.import_weights`;
        "embedded", the model that is shipped, or "embedded_other", the same recipe on other
        people; or "iresnet100:random=SEED", a random network, with optional further
        `,width=0.25,embedding_size=128,input_size=56`.
      preprocessing: of an .onnx file; None: its zoo entry's, or what its graph shows.

    Raises:
      InputError: the specification, file or folder cannot be used; says why.
    """
    name = str(spec)
    if name.endswith(".onnx"):
        from mint_jax.audited.onnx_model import load_onnx  # onnxruntime is slow to import

        return load_onnx(Path(spec), preprocessing)
    if preprocessing is not None:
        raise InputError(f"{name}: a preprocessing can be given for an .onnx file only")
    if name in SHIPPED:
        return iresnet_model.load_folder(SHIPPED[name])
    if name.partition(":")[0] in BLOCKS and ":" in name:
        return _random(name)
    if not Path(spec).is_dir():
        raise InputError(
            f"{name}: neither an .onnx file, a folder of a stored model, "
            f'"embedded", nor "iresnet100:random=SEED" ({", ".join(BLOCKS)})'
        )
    return iresnet_model.load_folder(spec)


def _random(spec: str) -> AuditedModel:
    name, _, arguments = spec.partition(":")
    given = dict(part.partition("=")[::2] for part in arguments.split(","))
    try:
        seed = int(given.pop("random"))
        options = {key: _KEYS[key](value) for key, value in given.items()}
    except (KeyError, ValueError) as reason:
        raise InputError(
            f"{spec!r} is not of the form {name}:random=SEED[,width=W]"
            "[,embedding_size=D][,input_size=S]"
        ) from reason
    architecture = {"kind": "iresnet", "name": name, **options}
    info = {"name": spec, "training_database": "none: random weights", "seed": seed}
    return iresnet_model.make(architecture, iresnet_model.init(architecture, seed), info=info)
