"""Fixtures and marks of the whole suite."""

import os
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FULL = os.environ.get("MINT_TEST_FULL") == "1"


def pytest_configure(config):
    """One cache of compiled programs for all tests of a run, their workers and subprocesses."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `experiments.cli` does
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        cache = tempfile.TemporaryDirectory(prefix="mint_jax_xla_")
        config.add_cleanup(cache.cleanup)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = cache.name
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
    config.addinivalue_line("markers", "full: stated counts; runs with MINT_TEST_FULL=1")


def pytest_collection_modifyitems(items):
    if FULL:
        return
    for item in items:
        if item.get_closest_marker("full"):
            item.add_marker(pytest.mark.skip(reason="set MINT_TEST_FULL=1 (make test-full)"))


@pytest.fixture(scope="session")
def full() -> bool:
    """Whether the stated counts are asked for instead of the reduced ones."""
    return FULL


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real faces and networks; the test is skipped where it is absent."""
    path = Path(os.environ.get("MINT_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"real test data is not at {path}; MINT_TEST_DATA names its folder")
    return path
