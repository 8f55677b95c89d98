"""An imported network against onnxruntime, layer by layer."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, numpy_helper

from mint_jax.audited.model import AuditedModel, Preprocessing
from mint_jax.errors import InputError

TOLERANCE = 1e-4
_IMAGES = 2


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file.

    Raises:
      InputError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as reason:
        raise InputError(f"{path}: cannot be read: {reason.strerror}") from reason


def relative_errors(
    model: AuditedModel, path: Path, feed: Preprocessing, tensors: Mapping[str, str]
) -> dict[str, float]:
    """Greatest difference over greatest magnitude, layer by layer, on random images.

    Args:
      model: the imported network.
      path: of the .onnx file that it was imported from.
      feed: preprocessing that the file's input expects.
      tensors: {layer: name of the ONNX tensor}.

    Raises:
      InputError: a layer's error exceeds `TOLERANCE`.
    """
    shape = (_IMAGES, model.input_size, model.input_size, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    layers = tuple(tensors)
    with jax.default_matmul_precision("highest"):  # accelerators round to fewer bits
        found = jax.jit(lambda v, x: model.apply(v, x, layers))(model.variables, images)
    expected = _reference(path, np.asarray(feed(images)), list(tensors.values()))
    errors = {}
    for layer, reference in zip(layers, expected, strict=True):
        reference = reference.transpose(0, 2, 3, 1) if reference.ndim == 4 else reference
        difference = np.abs(np.asarray(found[layer]) - reference).max()
        errors[layer] = float(difference / np.abs(reference).max())
    wrong = [layer for layer, error in errors.items() if not error <= TOLERANCE]
    if wrong:
        raise InputError(
            f"{path}: the import does not reproduce onnxruntime: {wrong[0]} differs by "
            f"{errors[wrong[0]]:.1e} of its greatest value (allowed: {TOLERANCE:.0e})"
        )
    return errors


def _reference(path: Path, x: np.ndarray, tensors: list[str]) -> list[np.ndarray]:
    """Values of `tensors` for x (B, S, S, 3), one by one since a file may fix the batch."""
    model = as_float32(onnx.load(path))
    present = {output.name for output in model.graph.output}
    for name in tensors:
        if name not in present:
            model.graph.output.add(name=name)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # no warning of each initialiser that is also an input
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    runs = [session.run(tensors, {name: row[None].transpose(0, 3, 1, 2)}) for row in x]
    return [np.concatenate(rows) for rows in zip(*runs, strict=True)]


def as_float32(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network with its float16 tensors and casts in float32; changes `model`."""
    graph = model.graph
    constants = [a.t for node in graph.node for a in node.attribute if a.HasField("t")]
    for tensor in (*graph.initializer, *constants):
        if tensor.data_type == TensorProto.FLOAT16:
            array = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
    del graph.value_info[:]
    return model
