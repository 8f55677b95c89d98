"""An IResNet-100 in bfloat16 on an accelerator, beside its products and beside `torch.compile`."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import forward
from experiments.benchmarks.races import Figure, Peer, Race, check_same, rate, torch_peer
from mint_jax.audited import AuditedModel, iresnet

_REPEATS = 8  # batches, or products, that are queued in a run
TOLERANCE = 0.05  # of the greatest value: 8 bits through a hundred layers


def extract(batch: int, name: str = "iresnet100", **options: Any) -> Race:
    """Embeddings of photos that are on the device, beside `torch.compile`."""
    model, _ = forward.network(name, **options)
    embed, images = in_bfloat16(model), _images(model, batch)
    run = functools.partial(_queued, embed, model.variables, images)

    def in_torch(torch_peers: Any) -> Figure:
        x = np.asarray(model.preprocessing(np.asarray(images))).transpose(0, 3, 1, 2)
        step = torch_peers.compiled(model.variables, x, _REPEATS)
        check_same(embed(model.variables, images), step(), "torch.compile", TOLERANCE)
        return rate(step, _REPEATS * batch)

    words = f"embeddings of {name}, {model.input_size}x{model.input_size}, bfloat16, batch {batch}"
    peer = torch_peer("torch.compile, max-autotune, channels_last", in_torch, 1.0)
    return Race(words, "images/s", batch, rate(run, _REPEATS * batch), [peer])


def ceiling(batch: int = 256, side: int = 8192, name: str = "iresnet100", **options: Any) -> Race:
    """Operations a second of the same embeddings, beside those of a product of large matrices."""
    model, _ = forward.network(name, **options)
    run = functools.partial(_queued, in_bfloat16(model), model.variables, _images(model, batch))
    count = _REPEATS * batch * forward.operations(model.architecture, "outcome")
    square = jnp.asarray(np.random.default_rng(0).standard_normal((side, side)), jnp.bfloat16)
    product = functools.partial(_queued, jax.jit(jnp.matmul), square, square)
    words = f"operations of {name}, bfloat16, batch {batch}"
    peer = Peer(
        f"a product of {side}x{side} matrices", rate(product, _REPEATS * 2 * side**3 / 1e12), 0.5
    )
    return Race(words, "TFLOP/s", batch, rate(run, count / 1e12), [peer])


def in_bfloat16(model: AuditedModel) -> Callable[[Any, jax.Array], jax.Array]:
    """`(variables, photos) -> (B, D) float32`, compiled, which computes in bfloat16."""
    about = model.architecture
    module = iresnet(
        about["name"],
        width=about["width"],
        embedding_size=about["embedding_size"],
        dtype=jnp.bfloat16,
    )
    return jax.jit(
        lambda variables, images: module.apply(variables, model.preprocessing(images))[0]
    )


def _images(model: AuditedModel, batch: int) -> jax.Array:
    return jnp.asarray(forward.photos(batch, model.input_size))


def _queued(program: Callable, *arguments: Any) -> None:
    """Runs a program as often as hides the time of a call, as a stream of batches does."""
    jax.block_until_ready([program(*arguments) for _ in range(_REPEATS)])
