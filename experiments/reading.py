"""From sources of images to the AAD of populations: loader, extractors and stores, wired."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from data_pipelines import loader
from data_pipelines.errors import InputError
from data_pipelines.sources import Concatenated, Subset, origins
from mint_jax import aad, memory, parallel
from mint_jax.audited import AuditedModel
from mint_jax.auditors import placement
from mint_jax.baselines import Scalars
from mint_jax.evidence.population import OUTCOME, Part, Readings

_ROWS = 512  # that are read out of a store at one time
EVERYWHERE = ("bank", "train", "validation", "threshold", "calibration", "test", "unused")


@dataclass(frozen=True)
class View:
    """A network that reads photos.

    Attributes:
      model: the network.
      parts: names of the parts that it reads; "unused" means all parts of that population.
      maps: whether its activation maps are kept as well, but for the bank's.
      change: what is done to photos, (B, 112, 112, 3) uint8, before it reads them.
      scalars: whether the scores of the baselines are read in place of the layers.
      views: of a photo beside itself, in which the outcome is read too.
    """

    model: AuditedModel
    parts: Sequence[str] = ("bank", "train", "threshold", "test")
    maps: bool = False
    change: Callable[[np.ndarray], np.ndarray] | None = None
    scalars: bool = False
    views: Sequence[str] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the AAD that is read."""
        return (*self.model.layers, *aad.with_views(OUTCOME, self.views)[1:])


class Reader:
    """Reads every image once and hands it to all extractors of all networks."""

    def __init__(
        self,
        views: Mapping[str, View],
        *,
        statistics: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {},
        batch: int,
        workers: int,
        stores: Sequence[aad.Store] = (),
        folder: Path | None = None,
        maps: str = "float32",
    ):
        """Prepares a reader.

        Args:
          views: {"audited": the audited network, "random_network": its control, ...}.
          statistics: {field of `Part`: (B, 112, 112, 3) uint8 to (B, F) numbers that no extractor
            reads}, such as the blind control's `pixels`.
          batch: images in a step of one device.
          workers: Grain worker processes that decode or render.
          stores: activations that `experiments.extract` wrote; a network whose activations of all
            images are in them is not run again.
          folder: where maps stay, in files without names, that are larger than their share of the
            free memory; None keeps all in memory.
          maps: their type, "float32" or "bfloat16".
        """
        self._views, self._statistics = views, statistics
        self._batch, self._workers, self._stores = batch, workers, tuple(stores)
        self._folder, self._maps, self._programs = folder, aad.dtype_of(maps), {}

    def populations(
        self, groups: Mapping[str, Mapping[str, Any]], apart: int
    ) -> dict[str, dict[str, Part]]:
        """AAD of populations.

        Args:
          groups: {population: {part: source}}.
          apart: identities of one population are below; the next one's begin there, so that
            different populations are different people.

        Returns:
          {population: {part: Part}}, each with what the views read that read this part.
        """
        passes = {}
        for name, parts in groups.items():
            for part in parts:
                label = part if name != "unused" else name
                reads = {k: v for k, v in self._views.items() if label in v.parts}
                kept = tuple((k, v.maps and label != "bank") for k, v in reads.items())
                passes.setdefault(kept, []).append((name, part))
        found = {name: {} for name in groups}
        for kept, places in passes.items():
            sources = [groups[name][part] for name, part in places]
            title = ", ".join(dict.fromkeys(part for _, part in places))
            rows = self._read(f"reading {title}", Concatenated(sources), dict(kept))
            ends = np.cumsum([len(source) for source in sources])
            for (name, part), source, end in zip(places, sources, ends):
                people = np.asarray(source.identities) + apart * list(groups).index(name)
                own = rows.rows(slice(end - len(source), end))
                found[name][part] = dataclasses.replace(own, identities=people)
        return {name: {part: found[name][part] for part in parts} for name, parts in groups.items()}

    def _read(self, title: str, source: Any, maps: Mapping[str, bool]) -> Part:
        """What the views in `maps`, {name: whether maps are kept}, say of a source."""
        own = Subset(source, parallel.own_rows(len(source), self._batch))
        outs, measured = self._read_own(title, own, maps, self._places(maps, len(source), len(own)))
        parallel.barrier("read")
        outs, measured = jax.tree.map(
            lambda x: parallel.gather_rows(x, len(source), self._as(x)), (outs, measured)
        )
        readings = {k: _readings(out) for k, out in outs.items()}
        return Part(source.identities, readings, **{"pixels": _none(source)} | measured)

    def _places(
        self, maps: Mapping[str, bool], count: int, own: int
    ) -> dict[str, dict[str, np.ndarray]]:
        """{view: {layer: (own, ...) in a file}} for the maps of `count` images; none in memory."""
        views = {name: self._views[name] for name, kept in maps.items() if kept}
        if self._folder is None or not views:
            return {}
        shapes = {
            name: {k: s for k, s in aad.shapes(v.model, v.names, "both").items() if len(s) == 3}
            for name, v in views.items()
        }
        sizes = [math.prod(s) for layers in shapes.values() for s in layers.values()]
        rows = count if parallel.process_count() == 1 else count + own  # both while they are sent
        if self._maps.itemsize * sum(sizes) * rows <= placement.SHARE * parallel.free_memory()[1]:
            return {}
        place = functools.partial(memory.on_disk, self._folder)
        return {
            name: {k: place((own, *s), self._maps) for k, s in layers.items()}
            for name, layers in shapes.items()
        }

    def _as(self, array: np.ndarray) -> Callable[..., np.ndarray]:
        """What makes an array that lives where this one does."""
        if not placement.stored(array):
            return np.empty
        return functools.partial(memory.on_disk, self._folder)

    def _read_own(
        self,
        title: str,
        source: Any,
        maps: Mapping[str, bool],
        places: Mapping[str, dict[str, np.ndarray]],
    ) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, np.ndarray]]:
        """{view: {layer: (n, ...)}} and {statistic: (n, F)} of what this process reads."""
        reduce = {name: "both" if kept else "max" for name, kept in maps.items()}
        outs = {name: places.get(name, {}) for name in maps}
        running = {
            name: self._extractor(name, r)
            for name, r in reduce.items()
            if not self._restore(self._views[name], source, r, outs[name])
        }
        statistics = {name: [] for name in self._statistics}
        if running or self._statistics:
            chunk = next((e.chunk for e in running.values()), self._batch)
            batches = loader.batches(source, chunk, workers=self._workers)
            for batch in tqdm(batches, title, len(batches), unit="batch"):
                for name, extractor in running.items():
                    change = self._views[name].change
                    seen = batch | {"image": change(batch["image"])} if change else batch
                    aad.extract(extractor, [seen], len(source), outs[name])
                for name, measured in statistics.items():
                    measured.append(self._statistics[name](batch["image"]))
        # The loader keeps the source's order, and only the last batch is padded.
        whole = {k: np.concatenate(found)[: len(source)] for k, found in statistics.items()}
        return outs, whole

    def _extractor(self, name: str, reduce: str) -> aad.Extractor:
        """Networks that differ in their weights alone share a program."""
        view = self._views[name]
        key = view.model.forward, view.views, reduce, view.scalars
        if key not in self._programs:
            self._programs[key] = (
                Scalars(view.model, self._batch)
                if view.scalars
                else aad.make_extractor(
                    view.model, view.names, reduce, self._batch, self._maps.name
                )
            )
        return self._programs[key].with_variables(view.model.variables)

    def _restore(self, view: View, source: Any, reduce: str, out: dict[str, np.ndarray]) -> bool:
        """Fills `out`, {layer: (n, ...)}, from the stores; False where they lack some of it."""
        model = view.model
        stores = {
            store.source_fingerprint: store
            for store in self._stores
            if store.model_sha256 == model.sha256 and store.reduce in ("map", reduce)
        }
        if not stores or view.change or view.scalars:
            return False
        pieces = origins(source, np.arange(len(source)))
        prints = [base.fingerprint() for base, _, _ in pieces]
        if not set(prints) <= set(stores):
            return False
        for store in (stores[fingerprint] for fingerprint in prints):
            if missing := [name for name in view.names if name not in store.layers]:
                raise InputError(f"{store.base}: the store lacks {', '.join(missing)} (views=?)")
        for (base, rows, places), fingerprint in zip(pieces, prints):
            store = stores[fingerprint]
            for row in np.intersect1d(rows, list(store.bad)):
                raise InputError(f"{base.keys[row]}: {store.bad[row][1]}")
            for layer, i in itertools.product(view.names, range(0, len(rows), _ROWS)):
                values = store.read(layer, rows[i : i + _ROWS])
                found = {layer: values.max(axis=(1, 2)) if values.ndim == 4 else values}
                if values.ndim == 4 and reduce == "both":
                    found[aad.map_of(layer)] = values.astype(self._maps)
                for name, array in found.items():
                    if name not in out:
                        out[name] = np.empty((len(source), *array.shape[1:]), array.dtype)
                    out[name][places[i : i + _ROWS]] = array
        return True


def _readings(out: Mapping[str, np.ndarray]) -> Readings:
    """What `out` of an extractor says."""
    names = {aad.map_of(layer): layer for layer in out}
    maps = {names[k]: v for k, v in out.items() if k in names}
    return Readings({k: v for k, v in out.items() if k not in names}, maps)


def _none(source: Any) -> np.ndarray:
    return np.zeros((len(source), 0), np.float32)
