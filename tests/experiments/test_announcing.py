"""What is said of where activations live: once a layer, by process 0."""

import logging

import pytest

from experiments import announcing
from mint_jax import parallel
from mint_jax.auditors import fit


@pytest.mark.parametrize("process, lines", [(0, ["cnn conv1: a", "cnn conv2: a"]), (1, [])])
def test_once_a_layer_by_process_0(process, lines, capsys, monkeypatch):
    logger = logging.getLogger(fit.__name__)
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "propagate", True)
    monkeypatch.setattr(parallel, "process_index", lambda: process)
    level = logger.level
    announcing.placements()
    for layer, reason in (("conv1", "a"), ("conv2", "a"), ("conv1", "b")):
        logger.info("%s %s: %s", "cnn", layer, reason)
    logger.setLevel(level)
    found = capsys.readouterr()
    assert found.err.splitlines() == lines and not found.out
