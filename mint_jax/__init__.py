"""Membership inference tests of face recognition networks, in JAX."""

__version__ = "0.1.0"
