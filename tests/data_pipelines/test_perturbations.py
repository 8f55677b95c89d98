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


def test_halving_averages_two_by_two(faces):
    small = faces.reshape(4, 56, 2, 56, 2, 3).mean((2, 4))
    changed = perturbations.resize(faces, 0.5).reshape(4, 56, 2, 56, 2, 3).mean((2, 4))
    assert np.abs(changed - small).mean() < 3


def test_turning_back_returns_the_middle(faces):
    there = perturbations.realign(faces, 5, 1.0)
    back = perturbations.realign(there, -5, 1.0)[:, 20:-20, 20:-20].astype(int)
    assert np.abs(back - faces[:, 20:-20, 20:-20]).mean() < 4
