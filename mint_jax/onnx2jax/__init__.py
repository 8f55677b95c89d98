"""ONNX networks as pure JAX functions of which every tensor is addressable by name."""

from mint_jax.onnx2jax.module import OnnxModule as OnnxModule
from mint_jax.onnx2jax.module import load as load
from mint_jax.onnx2jax.registry import OPERATORS as OPERATORS
