"""From sources of images to the AAD of populations: loader, extractors and stores, wired."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from data_pipelines import loader
from data_pipelines.errors import InputError
from data_pipelines.sources import Concatenated, origins
from mint_jax import aad
from mint_jax.audited import AuditedModel
from mint_jax.baselines import pixels
from mint_jax.evidence.protocol import CONV_LAYERS, Part, Readings


class Reader:
    """Reads every image once and hands it to all extractors of all networks."""

    def __init__(
        self,
        networks: Mapping[str, AuditedModel],
        *,
        maps: bool,
        statistics: bool,
        batch: int,
        workers: int,
        stores: Sequence[aad.Store] = (),
    ):
        """Prepares a reader.

        Args:
          networks: {"audited": model, "random_network": its control}.
          maps: whether parts other than the bank need activation maps as well.
          statistics: whether the blind control needs what pixels alone say.
          batch: images in a step of one device.
          workers: Grain worker processes that decode or render.
          stores: activations that `experiments.extract` wrote; a network whose activations of all
            images are in them is not run again.
        """
        self._networks, self._maps, self._statistics = networks, maps, statistics
        self._batch, self._workers, self._stores = batch, workers, tuple(stores)

    def populations(
        self, groups: Mapping[str, Mapping[str, Any]], apart: int
    ) -> dict[str, dict[str, Part]]:
        """AAD of populations.

        Args:
          groups: {population: {part: source}}.
          apart: identities of one population are below; the next one's begin there, so that
            different populations are different people.

        Returns:
          {population: {part: Part}}; a bank has no maps.
        """
        places = [(name, part) for name, parts in groups.items() for part in parts]
        found = {name: {} for name in groups}
        for title, kind, maps in (("banks", True, False), ("parts", False, self._maps)):
            chosen = [place for place in places if (place[1] == "bank") == kind]
            sources = [groups[name][part] for name, part in chosen]
            rows = self._read(f"reading {title}", Concatenated(sources), maps) if sources else None
            ends = np.cumsum([len(source) for source in sources])
            for (name, part), source, end in zip(chosen, sources, ends):
                own = slice(end - len(source), end)
                people = np.asarray(source.identities) + apart * list(groups).index(name)
                found[name][part] = Part(people, *_cut(rows, own))
        return {name: {part: found[name][part] for part in parts} for name, parts in groups.items()}

    def _read(self, title: str, source: Any, maps: bool) -> tuple[dict[str, Readings], np.ndarray]:
        """{network: Readings} and pixel statistics of all images of a source."""
        outs = {name: self._stored(model, source, maps) for name, model in self._networks.items()}
        running = {
            name: aad.make_extractor(
                model, model.layers, "map" if maps else "max", per_device_batch=self._batch
            )
            for name, model in self._networks.items()
            if not outs[name]
        }
        statistics = []
        if running or self._statistics:
            chunk = next((e.chunk for e in running.values()), self._batch)
            batches = loader.batches(source, chunk, workers=self._workers)
            for batch in tqdm(batches, title, len(batches), unit="batch"):
                for name, extractor in running.items():
                    aad.extract(extractor, [batch], len(source), outs[name])
                if self._statistics:
                    statistics.append(pixels.pixel_features(batch["image"]))
        # The loader keeps the source's order, and only the last batch is padded.
        blind = np.concatenate(statistics)[: len(source)] if statistics else np.zeros((0, 0))
        return {name: _readings(out) for name, out in outs.items()}, blind

    def _stored(self, model: AuditedModel, source: Any, maps: bool) -> dict[str, np.ndarray]:
        """{layer: (n, ...)} out of the stores; empty where they do not have all of it."""
        stores = {
            store.source_fingerprint: store
            for store in self._stores
            if store.model_sha256 == model.sha256
            and set(model.layers) <= set(store.layers)
            and store.reduce in ("map", "map" if maps else "max")
        }
        if not stores:
            return {}
        pieces = origins(source, np.arange(len(source)))
        prints = [base.fingerprint() for base, _, _ in pieces]
        if not set(prints) <= set(stores):
            return {}
        out = {}
        for (base, rows, places), fingerprint in zip(pieces, prints):
            store = stores[fingerprint]
            for row in np.intersect1d(rows, list(store.bad)):
                raise InputError(f"{base.keys[row]}: {store.bad[row][1]}")
            for layer in model.layers:
                values = store.read(layer, rows)
                if not maps and values.ndim == 4:
                    values = values.max(axis=(1, 2))
                out.setdefault(layer, np.empty((len(source), *values.shape[1:]), np.float32))
                out[layer][places] = values
        return out


def _readings(out: Mapping[str, np.ndarray]) -> Readings:
    """What `out`, {layer: maps or maxima}, says; the maxima are exact either way."""
    maxima = {layer: v.max(axis=(1, 2)) if v.ndim == 4 else v for layer, v in out.items()}
    conv = [layer for layer in maxima if layer.startswith("conv")]
    maxima[aad.ALL_CONV] = np.concatenate([maxima[layer] for layer in conv], axis=-1)
    return Readings(maxima, {layer: out[layer] for layer in CONV_LAYERS if out[layer].ndim == 4})


def _cut(
    rows: tuple[dict[str, Readings], np.ndarray], own: slice
) -> tuple[dict[str, Readings], np.ndarray]:
    """The rows of one part."""
    readings, statistics = rows
    cut = {
        network: Readings(
            {layer: values[own] for layer, values in read.maxima.items()},
            {layer: values[own] for layer, values in read.maps.items()},
        )
        for network, read in readings.items()
    }
    return cut, statistics[own]
