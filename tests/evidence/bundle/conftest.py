"""An evidence bundle in a folder, to be changed at will."""

import copy
import shutil

import pytest
from evidence import bundles

from mint_jax.evidence import bundle


@pytest.fixture(scope="session")
def _made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit")
    return folder, bundles.make(folder)


@pytest.fixture
def made(_made, tmp_path):
    """The document and its path, in a copy of everything that belongs to it."""
    folder, document = _made
    shutil.copytree(folder, tmp_path / "copy")
    path = bundle.write(tmp_path / "copy" / "evidence", document)
    return copy.deepcopy(document), path
