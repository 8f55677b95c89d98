"""Databases of faces, one module or package each.

`READERS[name](folder, **preparation)` opens a database as it is downloaded; `open_built` opens one
that `experiments.build_database` built.
"""

from data_pipelines.databases.adience import Adience
from data_pipelines.databases.built import open_built
from data_pipelines.databases.fddb import Fddb
from data_pipelines.databases.gandiffface import GANDiffFace
from data_pipelines.databases.glint360k import open_pack
from data_pipelines.databases.ijbc import Ijbc

READERS = {
    "adience": Adience,
    "fddb": Fddb,
    "gandiffface": GANDiffFace,
    "glint360k": open_pack,
    "ijbc": Ijbc,
}

__all__ = ["READERS", "open_built"]
