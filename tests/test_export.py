"""Everything that mint_jax compiles lowers for TPUs and NVIDIA GPUs, where no such device is.

While small calls run, the stand-ins for `jax.jit` and `parallel.pmap` note which functions are
compiled for which arguments, and answer with zeros; nothing is compiled here. Code that chooses by
the kind of device takes the accelerator's way.
"""

import ast
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import mint_jax
from experiments.benchmarks import iresnet_onnx
from mint_jax import aad, audited, auditors, baselines, lab, parallel
from mint_jax.audited import onnx_model, verify
from mint_jax.audited.iresnet import BLOCKS, iresnet
from mint_jax.auditors import checkpoint, division, parts
from mint_jax.auditors.programs import OPTIMIZERS

LIBRARY = Path(mint_jax.__file__).parent
PLATFORMS = ("tpu", "cuda")
COMPILERS = ("jit", "pmap", "shard_map")
ARCHITECTURE = {"kind": "iresnet", "name": "iresnet18", "width": 0.0625}
ARCHITECTURE |= {"embedding_size": 16, "input_size": 28}
RNG = np.random.default_rng(0)
PHOTOS = RNG.integers(0, 256, (24, 112, 112, 3), np.uint8)
LABELS = np.arange(24) % 2
HELD = np.arange(24)[None] < 8
VECTORS = RNG.normal(size=(24, 16)).astype(np.float32)


def written():
    """(file, line) wherever the library compiles, but in `parallel`, which others go through."""
    places = set()
    for path in LIBRARY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            imported = isinstance(node, ast.ImportFrom) and any(
                name.name in COMPILERS for name in node.names
            )
            if imported or isinstance(node, ast.Attribute) and node.attr in COMPILERS:
                places.add((path, node.lineno))
    return {place for place in places if place[0].name != "parallel.py"}


class Compiled:
    """The stand-ins.

    Attributes:
      calls: {(file, line, function, shapes): (function, shapes)} of what was called.
    """

    def __init__(self, patch):
        """Takes the places of the compilers, and of what was compiled at import."""
        self.calls = {}
        self._jit, self._pmap = jax.jit, parallel.pmap
        for module in [m for name, m in sys.modules.items() if name.startswith("mint_jax")]:
            for name, value in vars(module).items():
                if isinstance(value, type(jax.jit(abs))):
                    code = value.__wrapped__.__code__
                    place = Path(code.co_filename), code.co_firstlineno
                    patch.setattr(module, name, self._noting(place, value))
        patch.setattr(jax, "jit", self.jit)
        patch.setattr(parallel, "pmap", self.pmap)

    def jit(self, function, **options):
        place = self._caller()
        compiled = self._jit(function, **options)
        return self._noting(place, compiled) if LIBRARY in place[0].parents else compiled

    def pmap(self, function, **options):
        # `jax.export` takes the result of `jit` alone.
        return self._noting(self._caller(), self._jit(self._pmap(function, **options)))

    def places(self):
        return {key[:2] for key in self.calls}

    def _caller(self):
        frame = sys._getframe(2)
        return Path(frame.f_code.co_filename), frame.f_lineno

    def _noting(self, place, function):
        def call(*args):
            shapes = jax.eval_shape(lambda *x: x, *args)
            leaves, tree = jax.tree.flatten(shapes)
            self.calls[(*place, function, tuple(leaves), tree)] = function, shapes
            found = jax.eval_shape(function, *shapes)
            return jax.tree.map(lambda x: jax.device_put(np.zeros(x.shape, x.dtype)), found)

        return call


@pytest.fixture
def compiled(monkeypatch):
    """The stand-ins in their places; programs that were kept before, or meanwhile, are not used."""

    def forget():
        for module in [m for name, m in sys.modules.items() if name.startswith("mint_jax")]:
            for value in vars(module).values():
                getattr(value, "cache_clear", lambda: None)()

    forget()
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    with monkeypatch.context() as patch:
        yield Compiled(patch)
    forget()


def test_what_is_compiled_lowers_for_accelerators(compiled, tmp_path, monkeypatch):
    monkeypatch.setattr(verify, "TOLERANCE", 1.0)  # that of zeros
    for blocks in (BLOCKS, iresnet_onnx.BLOCKS):  # more of them take long and show no more
        monkeypatch.setitem(blocks, "iresnet18", (1, 1, 1, 1))
    path = tmp_path / "network.onnx"
    iresnet_onnx.write(path, width=0.0625, size=28)
    ours = audited.load(path)
    for model in (ours, onnx_model._as_it_is(path, None)):
        aad.make_extractor(model, (*model.layers, aad.ALL_CONV, "outcome@flip+zoom:1.1"))(PHOTOS)
        aad.make_extractor(model, (*model.layers, "conv1@shift:1:0"), "map")(PHOTOS)
        baselines.Scalars(model)(PHOTOS)
    with monkeypatch.context() as patch:  # accelerators have nothing to prepare
        patch.setattr(jax, "default_backend", lambda: "cpu")
        patch.setattr(sys.modules[iresnet.__module__], "_MANY", 4)
        ours.prepare(ours.variables, 1)
    baselines.pixel_features(PHOTOS)
    train_models()
    train_auditors()
    monkeypatch.setattr("mint_jax.auditors.fit.Whole", division.Rows)
    many = np.tile(VECTORS, (25, 1)), np.tile(LABELS, 25)  # so many are placed some at a time
    held = np.tile(HELD, 25)
    rows = ~held, held, [0], auditors.FitConfig(epochs=1)
    auditors.fit_population(auditors.Vanilla("conv1"), *many, *rows)
    assert compiled.places() == written()
    for function, shapes in compiled.calls.values():
        assert jax.export.export(function, platforms=PLATFORMS)(*shapes).platforms == PLATFORMS


def train_models():
    for options in ({}, {"head": "softmax", "optimizer": "adamw"}):
        config = lab.TrainConfig(ARCHITECTURE, epochs=1, batch_size=8, **options)
        lab.train(config, PHOTOS[:, ::4, ::4], np.arange(24) // 6)


def train_auditors():
    """Every kind that there is, of every kind of part."""
    maps = RNG.normal(size=(24, 7, 7, 8)).astype(np.float32)
    networks = [(optimizer, auditors.Vanilla("conv1"), VECTORS) for optimizer in OPTIMIZERS]
    both = {"conv1": maps, "conv2": maps[:, ::2, ::2]}
    networks += [("adam", auditors.CNN("conv1"), maps), ("adam", auditors.CNN("all_conv"), both)]
    found = []
    for optimizer, module, features in networks:
        fit = auditors.FitConfig(optimizer, epochs=1)
        found.append(auditors.fit_population(module, features, LABELS, ~HELD, HELD, [0], fit))
        found[-1].predict(features)
    found.append(auditors.fit_neighbours(VECTORS, LABELS, VECTORS, VECTORS, ~HELD))
    found[-1].predict(VECTORS)
    views = {"outcome": VECTORS, "outcome@flip": VECTORS, "conv4": VECTORS[:, :8]}
    config = auditors.FusionConfig(
        (
            auditors.Neighbours(views=("flip",)),
            auditors.Neighbours("conv4", centred=True),
            auditors.Consistency("outcome", ("flip",)),
            auditors.Prototypes(),
        )
    )
    people, prototypes = np.arange(24), (VECTORS, np.arange(24))
    found.append(auditors.fit_fusions(views, LABELS, people, ~HELD, config, prototypes))
    found[-1].predict(views)
    exported = [x.auditor(0, audited_sha256="") for x in found]
    for auditor in exported:
        first = {"conv1": VECTORS} if auditor.reduce == "max" else both
        auditor.score(views | first)
    assert {auditor.kind for auditor in exported} == set(checkpoint._MODELS)
    assert {part.kind for part in config.parts} == set(parts._KINDS)
