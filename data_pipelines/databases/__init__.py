"""Databases of faces, one module or package each."""
