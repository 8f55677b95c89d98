"""Models of a lab: halves, trainings, and readings that are kept."""

import json

import numpy as np
import pytest

from data_pipelines import duplicates
from experiments import lab_pairs
from experiments.configs import compare_auditors
from mint_jax import aad, audited
from mint_jax.errors import InputError

TINY = "identities=16,pairs=3,models=3,epochs=1,batch_size=8"


@pytest.mark.parametrize("by", ["image", "identity"])
def test_every_photo_is_in_half_of_the_references_of_every_model(by):
    identities = np.repeat(np.arange(30), 4)[np.random.default_rng(0).permutation(120)]
    drawn = lab_pairs.halves(identities, by, pairs=5, seed=1)
    assert drawn.shape == (10, 120)
    np.testing.assert_array_equal(drawn[1::2], ~drawn[::2])
    each = np.stack([np.bincount(identities, row) for row in drawn])
    if by == "image":
        assert (each == 2).all()
    else:
        assert np.isin(each, (0, 4)).all() and (drawn.sum(axis=1) == 60).all()
    assert len(np.unique(drawn, axis=0)) == 10
    for target in range(10):
        references = np.delete(drawn, [target, target ^ 1], axis=0)
        assert (references.sum(axis=0) == 4).all()


def test_photos_that_have_no_half_go_to_either_side():
    drawn = lab_pairs.halves(np.repeat(np.arange(200), 3), "image", pairs=3, seed=0)
    counts = drawn.reshape(6, 200, 3).sum(axis=2)
    assert set(np.unique(counts)) == {1, 2}
    assert (np.abs(np.mean(counts == 2, axis=1) - 0.5) < 0.15).all()
    with pytest.raises(InputError, match="person 7 has one photo"):
        lab_pairs.halves(np.array([3, 3, 7]), "image", pairs=3, seed=0)


def tiny(name):
    config = compare_auditors.get_config(TINY).labs[name]
    config.training.architecture.update({"width": 0.0625, "embedding_size": 8, "input_size": 16})
    return config


@pytest.fixture
def people():
    config = tiny("people")
    config.strangers = 0.25
    return config


def open_lab(config, folder):
    return lab_pairs.Models(config, folder / "people", folder / "photos", 0)


def test_what_is_finished_is_not_trained_or_read_again(people, trainings, tmp_path):
    models = open_lab(people, tmp_path)
    assert models.audited.tolist() == list(range(6))
    readings = [models.reading(i) for i in (0, 3)]
    assert [name for name, _, _ in trainings] == ["00", "03"]
    for (_, images, labels), reading in zip(trainings, readings):
        assert images.shape == (24, 16, 16, 3) and images.std() > 0
        trained_on = models.identities[reading.members]
        assert ((labels[:, None] == labels) == (trained_on[:, None] == trained_on)).all()
        np.testing.assert_array_equal(reading.classes[reading.members], labels)
        assert reading.head.shape == (12, 8) and (reading.classes >= 0).all()
        assert models.views == ("flip",) and reading.identities.shape == (64,)
        names = {"conv1", "conv2", "conv3", "conv4", "outcome", "outcome@flip"}
        assert reading.aad.keys() == names and {len(x) for x in reading.aad.values()} == {64}
        assert {x.shape for x in reading.scalars.values()} == {(64,)}
        a, b = (reading.aad[name] for name in ("outcome", "outcome@flip"))
        cosines = np.sum(a * b, axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        np.testing.assert_allclose(reading.scalars["flip"], cosines, atol=1e-4)

    (tmp_path / "people" / "03" / "aad.npz").unlink()
    again = open_lab(people, tmp_path).reading(3)
    assert len(trainings) == 2
    for name, values in readings[1].aad.items():
        np.testing.assert_array_equal(again.aad[name], values)
    assert audited.load(str(tmp_path / "people" / "03")).input_size == 16


def test_other_networks_read_the_photos_once(people, trainings, monkeypatch, tmp_path):
    people.training.shift = 1
    models = open_lab(people, tmp_path)
    assert len(models.views) == 17
    size = "width=0.0625,embedding_size=8,input_size=16"
    networks = [audited.load(f"iresnet18:random={seed},{size}") for seed in (1, 2)]
    found = [models.read_by(network) for network in networks]
    layers = {"conv1", "conv2", "conv3", "conv4", "outcome", "outcome@flip"}
    assert found[0].keys() == layers and {len(x) for x in found[0].values()} == {64}
    assert not np.allclose(found[0]["outcome"], found[1]["outcome"])
    batch = np.stack([models._source[row]["image"] for row in (0, 63)])
    for network, values in zip(networks, found):
        mirrored = network.apply(network.variables, batch[:, :, ::-1], ("outcome",))["outcome"]
        np.testing.assert_allclose(values["outcome@flip"][[0, 63]], mirrored, atol=1e-4)
    monkeypatch.setattr(aad, "make_extractor", None)
    again = open_lab(people, tmp_path).read_by(networks[1])
    np.testing.assert_array_equal(again["outcome"], found[1]["outcome"])
    models._train(0)
    model = audited.load(str(tmp_path / "people" / "00"))
    assert models.sha256(0) == model.sha256 and not trainings[1:]


def test_without_references_one_of_each_pair_is_trained(trainings, monkeypatch, tmp_path):
    config = tiny("persons")
    config.references = False
    models = open_lab(config, tmp_path)
    assert models.audited.tolist() == [0, 2, 4]
    for i in models.audited:
        models._train(i)
    assert models.losses() == [2.0, 4.0, 6.0]
    monkeypatch.setattr(models, "_read", lambda i: {"flip": np.zeros(64)})
    reading = models.reading(2)
    assert reading.identities.shape == (64,)
    trained_on = np.unique(models.identities[reading.members])
    assert ((reading.classes < 0) == ~np.isin(models.identities, trained_on)).all()
    people, labels = trained_on.tolist(), reading.classes[reading.members]
    assert [people.index(p) for p in models.identities[reading.members]] == labels.tolist()


def test_near_duplicates_are_dropped_once(people, monkeypatch, tmp_path):
    people.screen = True
    calls = []

    def screen(source, workers):
        calls.append(len(source))
        return duplicates.Screen(np.arange(4, len(source)), {})

    monkeypatch.setattr(duplicates, "screen", screen)
    first, second = (open_lab(people, tmp_path) for _ in range(2))
    assert calls == [64] and first.notes == second.notes == ["4 near-duplicates were left out."]
    assert len(first.identities) == len(second.identities) == 44
    assert len(json.loads(next((tmp_path / "photos").glob("*.screen.json")).read_text())) == 60


def test_what_cannot_be_is_refused(people, tmp_path):
    open_lab(people, tmp_path)
    people.by = "identity"
    with pytest.raises(InputError, match="another training began here"):
        open_lab(people, tmp_path)
    people.by = "face"
    with pytest.raises(InputError, match='by is \'face\'; it must be "image" or "identity"'):
        open_lab(people, tmp_path / "other")
    people.by, people.pairs = "image", 2  # LiRA's variance takes two beside a model's own as well
    with pytest.raises(InputError, match="pairs is 2, and 1 of them choose"):
        open_lab(people, tmp_path / "other")
    assert not (tmp_path / "other").exists()
