"""The Vanilla auditor against the paper's description."""

import jax
import numpy as np
import pytest

from mint_jax.auditors import Vanilla
from mint_jax.errors import InputError


def _variables(module, channels):
    rng = np.random.default_rng(0)
    example = jax.ShapeDtypeStruct((1, channels), np.float32)
    shapes = jax.eval_shape(module.init, jax.random.key(0), example)
    return jax.tree.map(lambda s: rng.normal(size=s.shape).astype(np.float32), shapes)


def test_layers_are_input_size_64_and_1():
    params = _variables(Vanilla("all_conv"), 960)["params"]
    shapes = [params[f"Dense_{i}"]["kernel"].shape for i in range(3)]
    assert shapes == [(960, 960), (960, 64), (64, 1)]


def _hidden(variables, x):
    """The two hidden layers' activations, in NumPy."""
    out, params = [], variables["params"]
    norm = variables["normalisation"]["input"]
    x = (x - norm["mean"]) * norm["scale"]
    for name in ("Dense_0", "Dense_1"):
        x = np.maximum(x @ params[name]["kernel"] + params[name]["bias"], 0)
        out.append(x)
    return out


@pytest.mark.parametrize("form, fold", [("activity_mean", np.mean), ("activity_sum", np.sum)])
def test_penalty_of_activities(form, fold):
    module = Vanilla("conv1", l1=0.1, l1_form=form)
    variables = _variables(module, 12)
    x = np.random.default_rng(0).normal(size=(5, 12)).astype(np.float32)
    _, penalty = module.apply(variables, x)
    expected = 0.1 * sum(fold(a, axis=1) for a in _hidden(variables, x))
    np.testing.assert_allclose(penalty, expected, rtol=1e-5)


@pytest.mark.parametrize("form, fold", [("kernel_mean", np.mean), ("kernel_sum", np.sum)])
def test_penalty_of_kernels(form, fold):
    module = Vanilla("conv1", l1=0.1, l1_form=form)
    variables = _variables(module, 12)
    _, penalty = module.apply(variables, np.ones((5, 12), np.float32))
    kernels = [variables["params"][name]["kernel"] for name in ("Dense_0", "Dense_1")]
    expected = 0.1 * sum(fold(np.abs(kernel)) for kernel in kernels)
    np.testing.assert_allclose(penalty, np.full(5, expected), rtol=1e-5)


def test_unknown_penalty():
    with pytest.raises(InputError, match="activity_mean"):
        _variables(Vanilla("conv1", l1_form="l2"), 4)


def test_dropout_is_off_outside_training():
    module = Vanilla("conv1")
    variables = _variables(module, 12)
    x = np.random.default_rng(0).normal(size=(5, 12)).astype(np.float32)
    quiet, _ = module.apply(variables, x)
    noisy, _ = module.apply(variables, x, True, rngs={"dropout": jax.random.key(1)})
    a = _hidden(variables, x)[1]
    last = variables["params"]["Dense_2"]
    np.testing.assert_allclose(quiet, (a @ last["kernel"] + last["bias"])[:, 0], rtol=1e-3)
    assert not np.allclose(quiet, noisy)


def test_learns_a_separable_problem(vanilla_toy):
    fitted, features, labels, train, held = vanilla_toy
    scores = fitted.predict(features)
    for p in range(len(fitted)):
        unseen = ~(train[p] | held[p])
        assert ((scores[p] > 0.5) == labels)[unseen].mean() > 0.9
