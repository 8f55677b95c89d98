"""From sources of images to the AAD of populations: loader and pmapped extractors, wired."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from tqdm import tqdm

from data_pipelines import loader
from mint_jax import aad
from mint_jax.audited import AuditedModel
from mint_jax.baselines import pixels
from mint_jax.evidence.protocol import CONV_LAYERS, Part, Readings


class Reader:
    """Reads every image once and hands it to all extractors of all networks.

    Attributes:
      unreadable: {key: reason} of the images that could not be read; they are left out.
    """

    def __init__(
        self, networks: Mapping[str, AuditedModel], *, maps: bool, batch: int, workers: int
    ):
        """Compiles nothing yet.

        Args:
          networks: {"audited": model, "random_network": its control}.
          maps: whether parts other than the bank need activation maps as well.
          batch: images in a step of one device.
          workers: Grain worker processes that decode or render.
        """
        self._workers, self.unreadable = workers, {}
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
        charts = {network: {} for network in self._maps if maps}
        seen, statistics = np.zeros(len(source), bool), None
        for batch in self._batches(name, source):
            mask = np.asarray(batch["_mask"], bool)
            seen[batch["index"][mask]] = True
            for network, out in maxima.items():
                aad.extract(self._maxima[network], [batch], len(source), out)
            for network, out in charts.items():
                aad.extract(self._maps[network], [batch], len(source), out)
            values = pixels.pixel_features(batch["image"])
            if statistics is None:
                statistics = np.zeros((len(source), values.shape[1]), np.float32)
            statistics[batch["index"][mask]] = values[mask]
        keep = np.flatnonzero(seen)

        def rows(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return arrays if len(keep) == len(seen) else {k: v[keep] for k, v in arrays.items()}

        readings = {n: Readings(rows(out), rows(charts.get(n, {}))) for n, out in maxima.items()}
        identities = np.asarray(source.identities)[keep] + offset
        return Part(identities, readings, rows({"": statistics})[""])

    def _batches(self, name: str, source: Any) -> Iterable[Mapping]:
        steps = -(-len(source) // self._chunk)
        batches = loader.batches(source, self._chunk, workers=self._workers, keep_bad=True)
        for batch in tqdm(batches, total=steps, desc=f"reading {name}", unit="batch"):
            for index, error in zip(batch["index"], batch["error"], strict=True):
                if error:
                    self.unreadable[int(index)] = error
            yield batch
