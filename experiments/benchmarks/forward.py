"""Forward passes of an IResNet on a CPU, in the form that InsightFace publishes."""

import functools
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import onnxruntime

from experiments.benchmarks import iresnet_onnx
from experiments.benchmarks.races import (
    Figure,
    Peer,
    Race,
    check_same,
    cores,
    rate,
    seconds,
    torch_peer,
)
from mint_jax import aad, audited, parallel
from mint_jax.aad.extractor import apply_function
from mint_jax.audited.iresnet import BLOCKS, STAGES

_PUBLISHED = {"width": 1.0, "embedding": 512}


@functools.lru_cache(maxsize=1)
def network(name: str, **options: Any) -> tuple[audited.AuditedModel, bytes]:
    """An IResNet with random weights as it was imported, and the ONNX file that it came from."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        iresnet_onnx.write(path, name, **(_PUBLISHED | options))
        return audited.load(path), path.read_bytes()


def extract(batch: int, turns: int, goal: float, name: str = "iresnet100", **options: Any) -> Race:
    """Embeddings of photos, beside networks that are given the normalised pixels."""
    model, onnx = network(name, **options)
    images = photos(batch, model.input_size)
    read = _reader(model, "outcome", batch)
    embeddings = read(images)
    x = np.asarray(model.preprocessing(images)).transpose(0, 3, 1, 2)
    session = _session(onnx)
    reference = functools.partial(
        session.run, None, {session.get_inputs()[0].name: np.ascontiguousarray(x)}
    )
    check_same(embeddings, reference()[0], "onnxruntime")

    def in_torch(torch_peers: Any) -> Figure:
        run = torch_peers.embedder(model.variables, x, cores())
        check_same(embeddings, run(), "PyTorch")
        return rate(run, batch)

    words = f"embeddings of {name}, {model.input_size}x{model.input_size}, float32, batch {batch}"
    peers = [
        Peer(f"onnxruntime, {cores()} threads", rate(reference, batch), goal),
        torch_peer(f"PyTorch, {cores()} threads", in_torch, goal, "_torch"),
    ]
    return Race(words, "images/s", batch, rate(lambda: read(images), batch), peers, turns)


def one_face(batch: int = 8, name: str = "iresnet100", **options: Any) -> Race:
    """A photo and its mirror image as the web platform reads them, beside a step of many faces."""
    model, _ = network(name, **options)
    extractor = aad.make_extractor(model, aad.with_views("outcome", ["flip"]), "max", batch)
    images = photos(1, model.input_size)
    alone = extractor.suited(1)
    words = f"a photo in two views by {name}, where a step has room for {batch} a device"
    for layer, values in alone(images).items():
        check_same(values, extractor(images)[layer], words)
    ours, whole = (seconds(functools.partial(read, images)) for read in (alone, extractor))
    return Race(words, "s", 1, ours, [Peer("a whole step", whole)], turns=5)


def truncation(layer: str, batch: int = 16, name: str = "iresnet100", **options: Any) -> Race:
    """How many times less a layer alone takes, beside how many times fewer operations it has."""
    model, _ = network(name, **options)
    images = photos(batch, model.input_size)
    readers = (_reader(model, end, batch) for end in (layer, "outcome"))
    part, whole = (seconds(functools.partial(read, images)) for read in readers)
    few, many = (operations(model.architecture, end) for end in (layer, "outcome"))
    words = f"{layer} of {name} alone, batch {batch}: times less than for the embedding"
    peer = Peer(f"operations: {few / 1e9:.3g} of {many / 1e9:.3g} GFLOP", lambda: many / few, 0.7)
    return Race(words, "times", batch, lambda: whole() / part(), [peer], turns=5)


def _reader(
    model: audited.AuditedModel, layer: str, batch: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Reads a layer of a batch: by all devices, or by one where they cannot share it."""
    share, rest = divmod(batch, parallel.device_count())
    if not rest:
        extractor = aad.make_extractor(model, [layer], per_device_batch=share)
        return lambda images: extractor(images)[layer]
    program = jax.jit(apply_function(model, [layer], "max"))
    variables = jax.device_put(model.prepare(model.variables, batch))
    return lambda images: np.asarray(program(variables, images)[layer])


def operations(architecture: Mapping[str, Any], layer: str) -> int:
    """Floating point operations that an IResNet's products take for a photo up to a layer's end.

    In closed form: two for each weight and each place that it is applied at.
    """
    blocks = BLOCKS[architecture["name"]]
    side, inputs = architecture["input_size"], round(64 * architecture["width"])
    total = side**2 * 9 * 3 * inputs
    for stage, count in enumerate(blocks[: STAGES.index(layer) + 1] if layer in STAGES else blocks):
        filters, half = round(64 * 2**stage * architecture["width"]), -(-side // 2)
        total += side**2 * 9 * inputs * filters
        total += half**2 * filters * (9 * filters + inputs)
        total += (count - 1) * half**2 * 2 * 9 * filters**2
        side, inputs = half, filters
    if layer not in STAGES:
        total += side**2 * inputs * architecture["embedding_size"]
    return 2 * total


def photos(count: int, size: int) -> np.ndarray:
    """(count, size, size, 3) uint8."""
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


def _session(onnx: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
