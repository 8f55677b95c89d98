"""The rooms of the operator table; importing this package fills it."""

from mint_jax.onnx2jax.operators import activation as activation
from mint_jax.onnx2jax.operators import convolution as convolution
from mint_jax.onnx2jax.operators import elementwise as elementwise
from mint_jax.onnx2jax.operators import indexing as indexing
from mint_jax.onnx2jax.operators import linear_algebra as linear_algebra
from mint_jax.onnx2jax.operators import normalisation as normalisation
from mint_jax.onnx2jax.operators import pooling as pooling
from mint_jax.onnx2jax.operators import quantisation as quantisation
from mint_jax.onnx2jax.operators import reduction as reduction
from mint_jax.onnx2jax.operators import resize as resize
from mint_jax.onnx2jax.operators import shape as shape
