"""From sources of images to the AAD of populations: loader and pmapped extractors, wired."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from tqdm import tqdm

from data_pipelines import loader
from mint_jax import aad
from mint_jax.audited import AuditedModel
from mint_jax.baselines import pixels
from mint_jax.evidence.protocol import CONV_LAYERS, Part, Readings


class Reader:
    """Reads every image once and hands it to all extractors of all networks."""

    def __init__(
        self, networks: Mapping[str, AuditedModel], *, maps: bool, batch: int, workers: int
    ):
        """Prepares the extractors.

        Args:
          networks: {"audited": model, "random_network": its control}.
          maps: whether parts other than the bank need activation maps as well.
          batch: images in a step of one device.
          workers: Grain worker processes that decode or render.
        """
        self._workers = workers
        self._maxima, self._maps = {}, {}
        for name, model in networks.items():
            layers = (*model.layers, aad.ALL_CONV)
            self._maxima[name] = aad.make_extractor(model, layers, "max", batch)
            if maps:
                self._maps[name] = aad.make_extractor(model, CONV_LAYERS, "map", batch)
        self._chunk = next(iter(self._maxima.values())).chunk

    def population(self, name: str, parts: Mapping[str, Any], offset: int) -> dict[str, Part]:
        """AAD of a population.

        Args:
          name: shown by the progress bar.
          parts: {part: source}.
          offset: added to identities, so that different populations are different people.

        Returns:
          {part: Part}; the bank has no maps.
        """
        return {
            part: self._part(f"{name}, {part}", source, offset, maps=part != "bank")
            for part, source in parts.items()
        }

    def _part(self, name: str, source: Any, offset: int, maps: bool) -> Part:
        maxima = {network: {} for network in self._maxima}
        charts = {network: {} for network in (self._maps if maps else ())}
        statistics, count = [], len(source)
        batches = loader.batches(source, self._chunk, workers=self._workers)
        steps = -(-count // self._chunk)
        for batch in tqdm(batches, f"reading {name}", steps, unit="batch"):
            for network, out in maxima.items():
                aad.extract(self._maxima[network], [batch], count, out)
            for network, out in charts.items():
                aad.extract(self._maps[network], [batch], count, out)
            statistics.append(pixels.pixel_features(batch["image"]))
        readings = {n: Readings(out, charts.get(n, {})) for n, out in maxima.items()}
        # The loader keeps the source's order, and only the last batch is padded.
        return Part(
            np.asarray(source.identities) + offset, readings, np.concatenate(statistics)[:count]
        )
