"""The Vanilla auditor: per-filter spatial maxima through a small fully connected network.

Source: DeAlcala et al., arXiv 2402.09225, section IV: fully connected layers of input size,
64 and 1, with dropout 0.3 and an L1 regulariser 0.1 between layers.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from mint_jax.auditors.standardise import Standardise
from mint_jax.errors import InputError

L1_FORMS = ("activity_mean", "activity_sum", "kernel_mean", "kernel_sum")


class Vanilla(nn.Module):
    """Dense(input size) ReLU, dropout, Dense(64) ReLU, dropout, Dense(1).

    The paper gives the weight of the L1 penalty, 0.1, not its form. "Between layers" reads
    as an activity regulariser (Keras' `ActivityRegularization` is such a layer). Ours is
    therefore a reconstruction: `l1 * mean_units |activation|` of each hidden layer,
    averaged over the batch. `l1_form` selects another: "activity_sum" sums over the units
    as Keras does, "kernel_mean" and "kernel_sum" penalise the hidden layers' kernels. Sums
    of 0.1 over hundreds of units or weights dwarf a cross-entropy of 0.69 at most, and
    "kernel_sum" leaves a network that says 0.5.

    Attributes:
      layer: the layer of the audited model that it reads; "outcome" and "all_conv"
        included.
      hidden: width of the second fully connected layer; the first is as wide as the input.
      dropout: rate after each hidden layer.
      l1: weight of the penalty.
      l1_form: one of `L1_FORMS`.
    """

    layer: str
    hidden: int = 64
    dropout: float = 0.3
    l1: float = 0.1
    l1_form: str = "activity_mean"

    kind: ClassVar[str] = "vanilla"
    reduce: ClassVar[str] = "max"
    together: ClassVar[bool] = True  # vmap over auditors pays on every backend

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, jax.Array]:
        """Logits and L1 penalties, both (B,) float32, of AAD (B, C).

        Raises:
          InputError: `l1_form` is none of `L1_FORMS`.
        """
        if self.l1_form not in L1_FORMS:
            raise InputError(f"l1_form {self.l1_form!r} is none of {', '.join(L1_FORMS)}")
        x = Standardise(name="input")(x)
        penalty = jnp.zeros(len(x))
        for width in (x.shape[-1], self.hidden):
            dense = nn.Dense(width)
            x = nn.relu(dense(x))
            penalty += self._penalty(dense, x)
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(1)(x)[:, 0], self.l1 * penalty

    def _penalty(self, dense: nn.Dense, x: jax.Array) -> jax.Array:
        what, how = self.l1_form.split("_")
        fold = jnp.sum if how == "sum" else jnp.mean
        if what == "activity":
            return fold(jnp.abs(x), axis=-1)
        return fold(jnp.abs(dense.variables["params"]["kernel"]))
