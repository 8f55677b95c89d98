"""Images of the lab: read once at the network's input size; verification on strangers."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from data_pipelines import loader
from data_pipelines.sources import Subset
from mint_jax import aad, lab, parallel
from mint_jax.audited import AuditedModel
from mint_jax.audited.model import resize
from mint_jax.evidence import metrics

_BATCH = 128
_RAW_SIZE = 28  # pixels a side of the raw-pixel baseline: less noise than 112


def read_images(source: Any, rows: np.ndarray, size: int, workers: int) -> np.ndarray:
    """Images of `rows`, resized as the audited model does it, (n, size, size, 3) uint8."""
    shrink = jax.jit(lambda images: resize(images, size).round().astype(np.uint8))
    images = np.zeros((len(rows), size, size, 3), np.uint8)
    for batch in _batches(source, rows, workers):
        mask = batch["_mask"]
        images[batch["index"][mask]] = np.asarray(shrink(batch["image"]))[mask]
    return images


def divide_reading(source: Any, rows: np.ndarray, size: int, workers: int) -> np.ndarray:
    """What `read_images` gives; each process reads a part of it, and all come to it."""
    own = rows[parallel.own_rows(len(rows), _BATCH)]
    images = read_images(source, own, size, workers)
    parallel.barrier("read")
    return parallel.gather_rows(images, len(rows))


def outcomes(
    networks: Mapping[str, AuditedModel], source: Any, rows: np.ndarray, workers: int
) -> dict[str, np.ndarray]:
    """{network: (n, D) float32} embeddings of `rows`; every image is read once."""
    extractors = {
        name: aad.make_extractor(model, ["outcome"], per_device_batch=_BATCH)
        for name, model in networks.items()
    }
    found = {name: {} for name in networks}
    for batch in _batches(source, rows, workers):
        for name, extractor in extractors.items():
            aad.extract(extractor, [batch], len(rows), found[name])
    return {name: out["outcome"] for name, out in found.items()}


def verify(model: AuditedModel, source: Any, rows: np.ndarray, workers: int) -> dict | None:
    """Face verification among `rows`, beside the cosine of raw pixels.

    Returns:
      {"identities", "images", "auc", "auc_ci95", "raw_pixels_auc", "raw_pixels_auc_ci95"}, or
      None where no person has two images.
    """
    identities = np.asarray(source.identities)[rows]
    if len(np.unique(identities)) == len(identities):
        return None
    embeddings = outcomes({"audited": model}, source, rows, workers)["audited"]
    pixels = read_images(source, rows, _RAW_SIZE, workers).reshape(len(rows), -1)
    pixels = pixels - pixels.mean(axis=1, keepdims=True, dtype=np.float32)
    found = {"identities": len(np.unique(identities)), "images": len(rows)}
    for prefix, vectors in (("", embeddings), ("raw_pixels_", pixels)):
        labels, cosines, people = lab.verification_pairs(vectors, identities)
        cell = metrics.evaluate(labels, cosines, people)
        found |= {f"{prefix}{key}": cell[key] for key in ("auc", "auc_ci95")}
    return found


def _batches(source: Any, rows: np.ndarray, workers: int) -> Iterator[dict]:
    batches = loader.batches(Subset(source, rows), _BATCH, workers=workers)
    return tqdm(batches, total=-(-len(rows) // _BATCH), desc="reading", unit="batch")
