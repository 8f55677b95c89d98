"""Changes of photos: form, size of the change, and agreement with another library."""

import io

import numpy as np
import pytest
from PIL import Image

from data_pipelines import perturbations
from data_pipelines.databases.synthetic_faces import SyntheticFaces


@pytest.fixture(scope="module")
def faces():
    source = SyntheticFaces("studio", 3, 4, 1)
    return np.stack([source[i]["image"] for i in range(4)])


@pytest.mark.parametrize("name", perturbations.CHANGES)
def test_a_change_leaves_the_face(name, faces):
    before = faces.copy()
    changed = perturbations.CHANGES[name].apply(faces)
    assert changed.shape == faces.shape and changed.dtype == np.uint8
    np.testing.assert_array_equal(faces, before)
    np.testing.assert_array_equal(changed, perturbations.CHANGES[name].apply(faces))
    for one, other in zip(changed, faces):
        assert (one != other).mean() > 0.2
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.6


def test_compression_is_pillows(faces):
    for ours, face in zip(perturbations.recompress(faces, 50), faces):
        file = io.BytesIO()
        Image.fromarray(face).save(file, "JPEG", quality=50)
        theirs = np.asarray(Image.open(file))
        assert np.abs(ours.astype(int) - theirs).mean() < 1


def test_a_crop_moves_pixels_and_repeats_the_edge(faces):
    moved = perturbations.recrop(faces, 4)
    np.testing.assert_array_equal(moved[:, 4:, 4:], faces[:, :-4, :-4])
    np.testing.assert_array_equal(moved[:, :4, 4:], np.repeat(faces[:, :1, :-4], 4, axis=1))


def test_scaling_is_pillows(faces):
    for ours, face in zip(perturbations.resize(faces, 0.5), faces):
        small = Image.fromarray(face).resize((56, 56), Image.Resampling.BOX)
        theirs = np.asarray(small.resize((112, 112), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(ours - theirs).max() <= 2


def test_a_quarter_turn_is_exact(faces):
    """About the centre, counter-clockwise."""
    turned = perturbations.realign(faces, 90, 1.0)[:, 1:-1, 1:-1].astype(int)
    expected = np.rot90(faces, axes=(1, 2))[:, 1:-1, 1:-1]
    assert np.abs(turned - expected).max() <= 1


def test_doubling_shows_the_middle(faces):
    large = perturbations.realign(faces, 0, 2.0).astype(int)
    for ours, face in zip(large, faces):
        middle = Image.fromarray(face).resize(
            (112, 112), Image.Resampling.BILINEAR, (28, 28, 84, 84)
        )
        theirs = np.asarray(middle).astype(int)[1:-1, 1:-1]
        assert np.abs(ours[1:-1, 1:-1] - theirs).mean() < 1


def test_turning_back_returns_the_middle(faces):
    there = perturbations.realign(faces, 5, 1.0)
    back = perturbations.realign(there, -5, 1.0)[:, 20:-20, 20:-20].astype(int)
    assert np.abs(back - faces[:, 20:-20, 20:-20]).mean() < 4
