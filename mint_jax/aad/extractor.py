"""Compiled extraction of Auxiliary Auditable Data: activation maps, their maxima, the outcome.

One program is compiled per set of layers; XLA removes what none of them needs, so a request for
`conv1` alone costs the first stage alone. A layer may be asked for in several views of the photo
(`views`); each view passes through the network once, those of which the same layers are wanted
together. Source: DeAlcala et al., arXiv 2402.09225, section III.
"""

import copy
import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mint_jax import parallel
from mint_jax.aad import views
from mint_jax.audited import AuditedModel
from mint_jax.audited.model import resize
from mint_jax.errors import InputError

ALL_CONV = "all_conv"
_DTYPES = {name: jnp.dtype(name) for name in ("float32", "bfloat16")}
_IMAGE = jax.ShapeDtypeStruct((1, 112, 112, 3), jnp.uint8)
_IN_FLIGHT = 2  # programs queued ahead of the copy to the host: enough to hide it, little memory


class Extractor:
    """Images in, AAD out: `extractor(images) -> {layer: array}`; made by `make_extractor`.

    Images run in chunks of `chunk = per_device_batch * devices`, the last one padded, through one
    compiled program of one shape. A row's values therefore depend on the image alone, not on how
    many images are asked for at once nor on how many devices there are. Its last bits depend on its
    place in a device's share as well, on processors whose matrix products treat the rows at the
    border of a block in another order.
    """

    def __init__(
        self,
        model: AuditedModel,
        layers: Sequence[str],
        reduce: str,
        per_device_batch: int,
        dtype: str,
    ):
        self.layers = tuple(layers)
        self.reduce = reduce
        self.chunk = per_device_batch * parallel.device_count()
        self._apply = apply_function(model, layers, reduce, dtype)
        self._program = parallel.pmap(self._apply)
        shown = max(map(len, _passes(model, layers).values()))
        self._prepare = functools.partial(model.prepare, batch=per_device_batch * shown)
        self._variables = parallel.replicate(self._prepare(model.variables))

    def with_variables(self, variables: Any) -> "Extractor":
        """The same compiled program for another network of the same shapes."""
        other = copy.copy(self)
        other._variables = parallel.replicate(self._prepare(variables))
        return other

    def suited(self, count: int) -> "Extractor":
        """The same in chunks of one image a device, where `count` in all fill half a chunk at most.

        A chunk takes as long, whatever is in it. Another shape may change the last bits.
        """
        other = copy.copy(self)
        if 2 * count <= self.chunk:
            other.chunk = parallel.device_count()
        return other

    def start(self, images: np.ndarray) -> Mapping[str, jax.Array]:
        """Queues one chunk, (n <= chunk, H, W, 3) uint8, and returns sharded results at once."""
        padded = np.zeros((self.chunk, *images.shape[1:]), np.uint8)
        padded[: len(images)] = images
        return self._program(self._variables, parallel.shard(padded))

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """AAD of `images`, uint8 (B, H, W, 3) RGB: {layer: (B, ...)}; B may be any number."""
        rows, begins = {}, range(0, len(images), self.chunk)
        for begin, chunk, out in self.stream((i, images[i : i + self.chunk]) for i in begins):
            for layer, values in out.items():
                rows.setdefault(layer, np.empty((len(images), *values.shape[1:]), values.dtype))
                rows[layer][begin : begin + len(chunk)] = values[: len(chunk)]
        return rows

    def stream(
        self, chunks: Iterable, queued: Callable[[Mapping], None] = lambda results: None
    ) -> Iterator:
        """Yields (tag, images, values) for each (tag, images), keeping the devices busy.

        `images` are uint8 (b <= chunk, H, W, 3) RGB, `values` {layer: (chunk, ...)}, of which the
        first b rows are theirs. `queued` is given what `start` returns, which may not be ready.
        """
        queue = deque()
        for tag, images in chunks:
            queue.append((tag, images, self.start(images)))
            queued(queue[-1][-1])
            if len(queue) > _IN_FLIGHT:
                yield self._finish(*queue.popleft())
        while queue:
            yield self._finish(*queue.popleft())

    def _finish(self, tag, images, out):
        return tag, images, parallel.unshard(out)


def dtype_of(name: str) -> np.dtype:
    """The type in which activations may be kept.

    Raises:
      InputError: another name than "float32" and "bfloat16".
    """
    if name not in _DTYPES:
        raise InputError(f"no type {name!r} of activations; there are {', '.join(_DTYPES)}")
    return _DTYPES[name]


def map_of(layer: str) -> str:
    """The name under which an extractor of both gives a layer's map; the layer's has its maxima."""
    return f"{layer}.map"


def apply_function(
    model: AuditedModel, layers: Sequence[str], reduce: str, dtype: str = "float32"
) -> Callable:
    """The pure function `(variables, images) -> {layer: array}` that an extractor compiles.

    `images` are uint8 (B, H, W, 3) RGB. Results are maps (B, H, W, C) of that `dtype` for
    `reduce="map"`, spatial maxima (B, C) float32 for `"max"`, and for `"both"` the maxima and,
    by the names of `map_of`, the maps; the outcome is (B, D) float32 under all of them.

    Raises:
      InputError: an unknown `reduce`, `dtype` or view, no layers, or `all_conv` under
        `reduce="map"`.
    """
    if reduce not in ("max", "map", "both"):
        raise InputError(f'reduce is {reduce!r}; it must be "max", "map" or "both"')
    kept = dtype_of(dtype)
    if not layers:
        raise InputError(f"no layer was asked for; {model.name} has {', '.join(model.layers)}")
    asked = {name: views.split(name) for name in layers}
    if reduce == "map" and any(layer == ALL_CONV for layer, _ in asked.values()):
        raise InputError(f"{ALL_CONV} has no map, only maxima: maps differ in size")
    transforms = {view: views.transform(view) for _, view in asked.values()}
    conv = _convolutional(model)
    passes = _passes(model, layers)

    def apply(variables, images):
        images, found = resize(images, model.input_size), {}
        for needed, shown in passes.items():
            batch = jnp.concatenate([transforms[view](images) for view in shown])
            for layer, values in model.apply(variables, batch, needed).items():
                of_views = jnp.split(values, len(shown))
                found |= {(layer, view): own for view, own in zip(shown, of_views)}
        maps = {k: v.astype(kept) for k, v in found.items() if v.ndim == 4}
        maxima = {k: v.max(axis=(1, 2)) if k in maps else v for k, v in found.items()}
        for view in (view for layer, view in asked.values() if layer == ALL_CONV):
            maxima[ALL_CONV, view] = jnp.concatenate([maxima[layer, view] for layer in conv], -1)
        maxima = {k: v.astype(jnp.float32) for k, v in maxima.items()}
        if reduce == "map":
            return {name: {**maxima, **maps}[wanted] for name, wanted in asked.items()}
        out = {name: maxima[wanted] for name, wanted in asked.items()}
        if reduce == "both":
            out |= {map_of(name): maps[wanted] for name, wanted in asked.items() if wanted in maps}
        return out

    jax.eval_shape(apply, model.variables, _IMAGE)
    return apply


def _convolutional(model: AuditedModel) -> list[str]:
    return [layer for layer in model.layers if layer.startswith("conv")]


def _passes(model: AuditedModel, layers: Sequence[str]) -> dict[tuple[str, ...], list[str | None]]:
    """{layers of the model: the views of which these are needed}, every view that is asked once."""
    needed: dict[str | None, set[str]] = {}
    for layer, view in map(views.split, layers):
        wanted = _convolutional(model) if layer == ALL_CONV else [layer]
        needed.setdefault(view, set()).update(wanted)
    passes: dict[tuple[str, ...], list[str | None]] = {}
    for view, layers in needed.items():
        passes.setdefault(tuple(sorted(layers)), []).append(view)
    return passes


def make_extractor(
    model: AuditedModel,
    layers: Sequence[str],
    reduce: str = "max",
    per_device_batch: int = 32,
    dtype: str = "float32",
) -> Extractor:
    """An extractor of `layers` of `model`; nothing that they do not need is computed.

    Args:
      model: the audited model.
      layers: names out of `model.layers`, and `all_conv` (maxima of all conv layers, in order);
        with the view behind an @, "outcome@flip", where it is not the photo itself.
      reduce: "max" for per-filter spatial maxima, "map" for full activation maps, "both" for the
        maxima and, by the names of `map_of`, the maps.
      per_device_batch: images in one device's share of a step; each view takes as many again.
      dtype: of maps, "float32" or "bfloat16", to which they are rounded on the device.

    Raises:
      InputError: an unknown layer or view (the message lists the known ones), `reduce` or `dtype`.
    """
    return Extractor(model, layers, reduce, per_device_batch, dtype)


def shapes(
    model: AuditedModel, layers: Sequence[str], reduce: str = "max"
) -> dict[str, tuple[int, ...]]:
    """{layer: shape of one image's activations}, maps' names behind; nothing is computed.

    Args and Raises as those of `make_extractor`.
    """
    found = jax.eval_shape(apply_function(model, layers, reduce), model.variables, _IMAGE)
    names = [*layers, *(name for name in map(map_of, layers) if name in found)]
    return {name: found[name].shape[1:] for name in names}


def extract(
    extractor: Extractor,
    batches: Iterable[Mapping],
    n: int,
    out: dict[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """AAD of a whole source, row i from the image whose `index` is i.

    Args:
      extractor: from `make_extractor`.
      batches: of a loader: "image" (b, H, W, 3) uint8, "index" (b,), "_mask" (b,) bool; b at
        most `extractor.chunk`.
      n: rows of the result. Rows that no unmasked image names stay zero.
      out: arrays to fill (a `np.memmap`, say) in place of new ones; layers that it lacks are added.

    Returns:
      {layer: (n, ...)}, as the extractor gives it.
    """
    out = {} if out is None else out
    for rows, _, values in extractor.stream((batch, batch["image"]) for batch in batches):
        good = np.flatnonzero(rows["_mask"])
        here, there = _span(good), _span(rows["index"][good])
        for layer, value in values.items():
            if layer not in out:
                out[layer] = np.zeros((n, *value.shape[1:]), value.dtype)
            out[layer][there] = value[here]
    return out


def _span(rows: np.ndarray) -> slice | np.ndarray:
    """The same rows as a slice where they are consecutive: maps are copied once then, not twice."""
    consecutive = len(rows) and (np.diff(rows) == 1).all()
    return slice(rows[0], rows[-1] + 1) if consecutive else rows
