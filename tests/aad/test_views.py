"""Views of a photo: against what training makes, scipy, and images changed beforehand."""

import jax
import numpy as np
import pytest
from scipy import ndimage

from mint_jax import aad, audited
from mint_jax.aad import views
from mint_jax.errors import InputError
from mint_jax.lab.augmentation import augment

SIZE = 6
IMAGE = np.random.default_rng(0).integers(0, 256, (1, SIZE, SIZE, 3)).astype(np.float32)


def _view(view, images=IMAGE):
    return np.asarray(views.transform(view)(images))


@pytest.mark.parametrize(("flip", "shift"), [(True, 2), (True, 0), (False, 1), (False, 0)])
def test_training_views_are_what_augmentation_makes(flip, shift):
    names = aad.training_views(flip, shift)
    assert len(names) == len(set(names)) == (2 * shift + 1) ** 2 * (1 + flip) - 1
    keys = jax.random.split(jax.random.key(0), 2000)
    drawn = augment(keys, np.repeat(IMAGE, 2000, axis=0), flip=flip, shift=shift)
    made = {image.tobytes() for image in np.asarray(drawn)}
    assert {_view(name)[0].tobytes() for name in (None, *names)} == made


def test_steps_are_taken_from_left_to_right():
    moved = _view("shift:2:-1")[0]
    np.testing.assert_array_equal(moved[2:, :-1], IMAGE[0, :-2, 1:])  # down and to the left
    np.testing.assert_array_equal(moved[0], moved[2])  # the border is repeated
    np.testing.assert_array_equal(_view("flip+shift:0:1"), _view("shift:0:1", _view("flip")))
    assert not np.array_equal(_view("flip+shift:0:1"), _view("shift:0:1+flip"))


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.0, 1.3])
@pytest.mark.parametrize("side", [6, 7])
def test_zoom_interpolates_about_the_centre(factor, side):
    image = np.random.default_rng(1).uniform(0, 255, (1, side, side, 3)).astype(np.float32)
    centre = (side - 1) / 2
    matrix, offset = np.diag([1 / factor] * 2), [centre - centre / factor] * 2
    expected = [
        ndimage.affine_transform(image[0, ..., c], matrix, offset, order=1, mode="nearest")
        for c in range(3)
    ]
    actual = _view(f"zoom:{factor}", image)[0]
    np.testing.assert_allclose(actual, np.stack(expected, -1), atol=1e-3)


@pytest.mark.parametrize("view", ["", "tilt", "shift:1", "shift:a:0", "zoom:0", "zoom:-1", "flip+"])
def test_unknown_views_list_the_forms(view):
    with pytest.raises(InputError, match=r"is unknown; the forms are flip, shift:DOWN:RIGHT"):
        views.transform(view)


@pytest.fixture(scope="module")
def model():
    return audited.load("iresnet18:random=3,width=0.125,embedding_size=32,input_size=56")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 112, 112, 3), np.uint8)


def test_extractors_read_views_at_the_input_size(model, images):
    """One program for several layers and views, against images that were changed beforehand."""
    names = ("outcome", "outcome@flip", "all_conv@shift:1:0")
    found = aad.make_extractor(model, names, per_device_batch=5)(images)
    small = images.reshape(5, 56, 2, 56, 2, 3).mean(axis=(2, 4), dtype=np.float32)
    changed = [_view(view, small) for view in (None, "flip", "shift:1:0")]
    run = jax.jit(lambda variables, x: model.apply(variables, x, model.layers))
    out = run(model.variables, np.concatenate(changed))
    of_photo, of_mirrored, of_moved = (
        [np.asarray(out[layer][5 * i :][:5]) for layer in model.layers] for i in range(3)
    )
    expected = {
        "outcome": of_photo[-1],
        "outcome@flip": of_mirrored[-1],
        "all_conv@shift:1:0": np.concatenate([x.max(axis=(1, 2)) for x in of_moved[:4]], axis=1),
    }
    assert set(found) == set(names)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-5 * np.abs(values).max())


def test_maps_of_views(model, images):
    extractor = aad.make_extractor(model, ("conv1", "conv1@flip"), "map", 5)
    of_photos, of_mirrored = extractor(images), extractor(images[:, :, ::-1])
    np.testing.assert_allclose(of_photos["conv1@flip"], of_mirrored["conv1"], atol=1e-4)


@pytest.mark.parametrize(
    ("names", "passes"),
    [
        (("outcome@flip",), 1),
        (("conv1", "outcome", "conv4@flip", "outcome@flip", "all_conv@flip"), 2),
        (("outcome", "outcome@flip", "outcome@shift:1:0", "conv1@shift:1:0"), 3),
    ],
)
def test_each_view_passes_once(model, images, monkeypatch, names, passes):
    shown = []
    apply = type(model).apply
    monkeypatch.setattr(
        type(model),
        "apply",
        lambda self, variables, x, layers: (
            shown.append(len(x)) or apply(self, variables, x, layers)
        ),
    )
    aad.make_extractor(model, names)  # traces with one image
    assert sum(shown) == passes


def test_bad_names_of_views(model):
    with pytest.raises(InputError, match="no layer 'conv9'"):
        aad.make_extractor(model, ("conv9@flip",))
    with pytest.raises(InputError, match="the forms are"):
        aad.make_extractor(model, ("conv1@",))
    with pytest.raises(InputError, match="max"):
        aad.make_extractor(model, ("all_conv@flip",), "map")
