"""An ONNX file as an audited model: an IResNet becomes ours, any other network runs as it
is.

The layers of a network that is no IResNet are found by topology, never by name: the last
tensor after at least one convolution at each spatial resolution above 1x1; the final four
of them are called conv1..conv4.
"""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mint_jax import onnx2jax
from mint_jax.audited import iresnet_model, zoo
from mint_jax.audited.import_iresnet import NotAnIResNet, convert
from mint_jax.audited.iresnet import STAGES
from mint_jax.audited.iresnet_model import OUTCOME
from mint_jax.audited.model import AuditedModel, Preprocessing
from mint_jax.audited.onnx_random import redraw
from mint_jax.audited.verify import file_sha256, relative_errors
from mint_jax.errors import InputError
from mint_jax.onnx2jax import OnnxModule

_CONVOLUTIONS = frozenset({"Conv", "QLinearConv", "ConvInteger"})
_DEFAULT_SIZE = 112
_LEADING = 8  # nodes among which InsightFace's own package looks for the normalisation


def load_onnx(path: Path, preprocessing: Preprocessing | None = None) -> AuditedModel:
    """The network of an .onnx file.

    Args:
      path: of the file.
      preprocessing: that the file's input expects; None: its zoo entry's, else raw pixels
        where the graph normalises by itself (Sub and Mul), else InsightFace's (x - 127.5) /
        127.5.

    Raises:
      InputError: the file cannot be read, an operator or attribute is not handled, its
        input is not a square image, or the import of an IResNet does not reproduce
        onnxruntime.
    """
    try:
        return import_iresnet(path, preprocessing)
    except NotAnIResNet:
        return _as_it_is(path, preprocessing)


def import_iresnet(path: Path, preprocessing: Preprocessing | None = None) -> AuditedModel:
    """The IResNet of an .onnx file, verified against onnxruntime.

    `info["relative_error"]` of the result holds the error of every layer.

    Raises:
      NotAnIResNet: the graph is not one; says where it differs.
      InputError: as `load_onnx`.
    """
    sha256 = file_sha256(path)
    module = onnx2jax.load(path)
    converted = convert(module)
    feed, info = _known(path, sha256, module, preprocessing)
    mean, scale = converted.normalisation or (0.0, 1.0)
    model = iresnet_model.make(
        converted.architecture,
        jax.tree.map(jnp.asarray, converted.variables),
        sha256=sha256,
        preprocessing=Preprocessing(
            feed.mean + mean / feed.scale, feed.scale * scale, feed.channel_order
        ),
    )
    info["parameters"] = sum(x.size for x in jax.tree.leaves(model.variables["params"]))
    info["relative_error"] = relative_errors(model, path, feed, converted.tensors)
    return dataclasses.replace(model, name=info["name"], info=info)


def _as_it_is(path: Path, preprocessing: Preprocessing | None) -> AuditedModel:
    sha256 = file_sha256(path)
    module = onnx2jax.load(path)
    size = _input_size(path, module)
    feed, info = _known(path, sha256, module, preprocessing)
    tensors = _layers(path, module, size)
    return AuditedModel(
        name=info["name"],
        layers=tuple(tensors),
        variables=jax.tree.map(jnp.asarray, module.params),
        sha256=sha256,
        input_size=size,
        preprocessing=feed,
        forward=functools.partial(_forward, module, tensors),
        redraw=functools.partial(redraw, path, module),
        info={**info, "tensors": tensors},
    )


def _forward(
    module: OnnxModule, tensors: dict[str, str], variables: Any, x: jax.Array, layers: tuple
) -> dict[str, jax.Array]:
    names = [tensors[layer] for layer in layers]
    found = module.apply(variables, {module.inputs[0]: x.transpose(0, 3, 1, 2)}, names)

    def arranged(layer: str) -> jax.Array:
        value = found[tensors[layer]].astype(jnp.float32)
        if layer == OUTCOME:
            return value.reshape(len(value), -1)
        return value.transpose(0, 2, 3, 1)

    return {layer: arranged(layer) for layer in layers}


def _known(
    path: Path, sha256: str, module: OnnxModule, preprocessing: Preprocessing | None
) -> tuple[Preprocessing, dict[str, Any]]:
    """What the file's input expects, and what is known of the file."""
    entry = zoo.find(path, sha256)
    info = {"name": entry.name if entry else path.stem, "file": path.name}
    info["training_database"] = entry.training_database if entry else "unknown"
    if entry:
        info |= {"source": entry.source, "identified_by": entry.identified_by}
    leading = {node.op_type for node in module.nodes[:_LEADING]}
    if preprocessing:
        info["preprocessing_from"] = "the user"
    elif entry and entry.preprocessing:
        preprocessing, info["preprocessing_from"] = entry.preprocessing, entry.source
    elif "Sub" in leading and leading & {"Mul", "Div"}:
        preprocessing, info["preprocessing_from"] = zoo.RAW, "the graph, which normalises"
    else:
        preprocessing, info["preprocessing_from"] = zoo.INSIGHTFACE, "InsightFace's habit"
    return preprocessing, info


def _input_size(path: Path, module: OnnxModule) -> int:
    """The side of the square image that the network reads."""
    if len(module.inputs) != 1:
        names = ", ".join(module.inputs)
        raise InputError(f"{path}: one input is needed, an image; the graph has {names}")
    shape = module.input_shape(module.inputs[0]) or (None, 3, None, None)
    sizes = {size for size in shape[2:] if size} or {_DEFAULT_SIZE}
    if len(shape) != 4 or shape[1] not in (3, None) or len(sizes) > 1:
        raise InputError(f"{path}: wrong input size {shape}; (N, 3, S, S) is needed")
    return min(sizes)


def _layers(path: Path, module: OnnxModule, size: int) -> dict[str, str]:
    """{layer: tensor}, in depth order, the outcome last."""
    batch = 2
    image = jax.ShapeDtypeStruct((batch, 3, size, size), np.float32)
    outcome = module.outputs[0]
    names = dict.fromkeys((*module.tensors, outcome))
    shapes = jax.eval_shape(
        lambda x: module.apply(module.params, {module.inputs[0]: x}, tuple(names)), image
    )
    if shapes[outcome].shape[:1] != (batch,):
        raise InputError(
            f"{path}: the output {outcome!r} has shape {shapes[outcome].shape} for {batch} "
            "images; an embedding has one row an image"
        )
    convolved, last = set(), {}
    for node in module.nodes:
        if node.op_type not in _CONVOLUTIONS and not convolved.intersection(node.inputs):
            continue
        convolved.update(node.outputs)
        for name in filter(None, node.outputs):
            shape = shapes[name].shape
            if len(shape) == 4 and shape[0] == batch and max(shape[2:]) > 1:
                last.pop(shape[2:], None)
                last[shape[2:]] = name
    final = list(last.values())[-len(STAGES) :]
    return {**dict(zip(STAGES, final)), OUTCOME: outcome}
