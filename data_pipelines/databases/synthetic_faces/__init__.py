"""Synthetic faces: databases of people who do not exist, rendered on demand.

Aligned 112x112 RGB faces are computed from (seed, identity, image, database) alone. What makes a
person (head shape, features, skin, hair, marks) is in `identity.py`; what differs between two
photographs of one person (pose, expression, light, camera) in `nuisance.py`; how one database
differs from another in `databases.py`. Nothing is downloaded and nobody's face is used.
"""

from data_pipelines.databases.synthetic_faces.databases import DATABASES, Database
from data_pipelines.databases.synthetic_faces.renderer import render
from data_pipelines.databases.synthetic_faces.source import SyntheticFaces

__all__ = ["DATABASES", "Database", "SyntheticFaces", "render"]
