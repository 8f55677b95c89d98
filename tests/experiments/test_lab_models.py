"""Models of the lab: split, manifest, resuming; and the embedded model against its record."""

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from data_pipelines.attributes import attribute_labels, named_attributes
from data_pipelines.errors import InputError as DataError
from experiments import lab_images, lab_leakage, lab_models
from mint_jax import audited, lab, parallel
from mint_jax.audited.spec import SHIPPED
from mint_jax.errors import InputError
from mint_jax.lab.training import epoch_rows

STEPS = 6  # of the recorded training; one more costs half a second of rendering
RTOL = 2e-3  # of the losses of these steps, on other processors


class Noise:
    """Photos that show nothing: three of each of 32 people."""

    def __init__(self, people=32):
        self.identities = np.repeat(np.arange(people), 3)
        self.keys = tuple(f"{20 + i % 40}_{i % 2}_0_{i}.jpg" for i in range(3 * people))

    def __len__(self):
        return len(self.keys)

    def __getitem__(self, index):
        rng = np.random.default_rng(int(index))
        image = rng.integers(0, 256, (112, 112, 3), dtype=np.uint8)
        return {"image": image, "identity": self.identities[index], "key": self.keys[index]}


@pytest.fixture
def config():
    architecture = dict(kind="iresnet", name="iresnet18", input_size=16)
    architecture |= dict(width=0.0625, embedding_size=8)
    return ConfigDict(
        {
            "name": "noise",
            "source": {"kind": "folder", "path": "nowhere"},
            "split": {"by": "identity", "members": 0.5, "seed": 3},
            "labels": "identity",
            "training": {"architecture": architecture, "epochs": 1, "batch_size": 16},
            "verification_images": 24,
            "workers": 0,
        }
    )


def test_a_trained_model_knows_who_its_members_are(config, tmp_path):
    source = Noise()
    model, truth = lab_models.train_on_part(config, source, tmp_path)
    members, others = (set(source.identities[r]) for r in (truth.members, truth.non_members))
    assert len(members) == len(others) == 16 and not members & others
    assert members == set(truth.manifest["split"]["members"])
    assert truth.manifest["sha256"] == model.sha256
    assert len(truth.manifest["losses"]["first_epoch"]) == 3
    assert truth.manifest["verification"]["identities"] == 8
    with np.load(tmp_path / "model" / "head.npz") as head:
        assert head["prototypes"].shape == (16, 8)

    again, _ = lab_models.train_on_part(config, source, tmp_path)
    jax.tree.map(np.testing.assert_array_equal, again.variables, model.variables)
    with pytest.raises(InputError, match="not 48 and 48"):
        lab_models.ground_truth(tmp_path / "model", Noise(people=20))
    config.training.epochs = 2
    with pytest.raises(InputError, match="another training began here"):
        lab_models.train_on_part(config, source, tmp_path)


def test_a_split_by_image_cuts_photos_not_people():
    source = Noise()
    split = lab_models.draw_split(source, {"by": "image", "members": 0.25, "seed": 0})
    members, others = lab_models.split_rows(source, split)
    assert (len(members), len(others)) == (24, 72)
    assert set(source.identities[members]) & set(source.identities[others])
    with pytest.raises(InputError, match="split.by is 'face'"):
        lab_models.draw_split(source, {"by": "face", "members": 0.5, "seed": 0})


def test_attributes_are_decade_gender_and_race():
    keys = ["a/21_0_1_x.jpg", "29_0_1_y.jpg", "30_0_1_z.jpg", "29_1_1_.jpg", "116_0_3_.jpg"]
    labels = attribute_labels([*keys, "95_0_3_.jpg"])
    assert labels[0] == labels[1] and labels[4] == labels[5]
    assert len(set(labels[[0, 2, 3, 4]])) == 4 and labels.max() == 3
    with pytest.raises(DataError, match="face.jpg: the name does not begin with age"):
        attribute_labels(["face.jpg"])
    words = named_attributes(["a/34_1_2_x.jpg", "97_0_0_y.jpg"])
    assert {k: v.tolist() for k, v in words.items()} == {
        "age": ["30 to 39", "80 or more"],
        "gender": ["female", "male"],
        "race": ["Asian", "White"],
    }
    assert named_attributes(["34_1_2_x.jpg", "face.jpg"]) == {}


def test_processes_that_divide_the_reading_get_the_images_of_one(monkeypatch):
    source, parts = Noise(100), []
    rows = np.arange(len(source))[::-1]
    whole = lab_images.divide_reading(source, rows, 28, workers=0)
    np.testing.assert_array_equal(whole, lab_images.read_images(source, rows, 28, workers=0))
    monkeypatch.setattr(parallel, "process_count", lambda: 2)
    monkeypatch.setattr(parallel, "barrier", lambda name: None)
    monkeypatch.setattr(parallel, "gather_rows", lambda own, count: parts.append(own))
    for process in range(2):
        monkeypatch.setattr(parallel, "process_index", lambda process=process: process)
        lab_images.divide_reading(source, rows, 28, workers=0)
    assert [len(part) for part in parts] == [256, 256]
    np.testing.assert_array_equal(np.concatenate(parts)[: len(rows)], whole)


@pytest.fixture(scope="module")
def truth():
    return lab_models.ground_truth()


def test_the_embedded_model_is_small_and_its_split_is_the_recorded_draw(truth):
    files = [path for path in lab_models.EMBEDDED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 10 << 20
    split = truth.manifest["split"]
    drawn = lab_models.draw_split(truth.source, {**split, "members": 0.5})
    assert [drawn[part] for part in ("members", "non_members")] == [
        split[part] for part in ("members", "non_members")
    ]
    assert truth.manifest["sha256"] == audited.load("embedded").sha256
    assert len(truth.non_members) >= 1000


def test_the_embedded_model_is_worth_auditing(truth):
    found = truth.manifest["verification"]
    assert found["identities"] >= 200
    assert found["auc_ci95"][0] >= 0.9 and found["raw_pixels_auc_ci95"][1] <= 0.75
    read = truth.manifest["neighbour_auditor"]
    assert 0.6 <= read["audited"]["auc"] <= 0.9
    low, high = read["random_network"]["auc_ci95"]
    assert low <= 0.5 <= high


def retrain(truth, rows, **limits):
    """The recorded training on the images of `rows`; the others are not rendered."""
    config = lab.TrainConfig(**truth.manifest["training"])
    size = config.architecture["input_size"]
    images = np.zeros((len(truth.members), size, size, 3), np.uint8)
    images[rows] = lab_images.read_images(truth.source, truth.members[rows], size, workers=0)
    labels = lab_models.class_labels(truth.source, truth.members, truth.manifest["labels"])
    return lab.train(config, images, labels, **limits).losses


def test_the_recorded_training_begins_again_as_it_did(truth):
    config = lab.TrainConfig(**truth.manifest["training"])
    rows = epoch_rows(len(truth.members), config, 0)[:STEPS].ravel()
    losses = retrain(truth, rows, epochs=1, steps=STEPS)[0]
    recorded = np.array(truth.manifest["losses"]["first_epoch"][:STEPS])
    np.testing.assert_allclose(losses, recorded, rtol=RTOL)
    assert recorded.std() > 2 * RTOL * recorded.mean()  # another order would be noticed


@pytest.mark.full
def test_two_epochs_lower_the_loss_as_recorded(truth):
    losses = retrain(truth, np.arange(len(truth.members)), epochs=2)
    recorded = truth.manifest["losses"]
    expected = recorded["first_epoch"][0] - recorded["epochs"][1]
    assert losses[0][0] - losses[1].mean() == pytest.approx(expected, rel=0.1)


def test_the_other_shipped_model_is_as_good_and_saw_other_people(truth):
    other = lab_models.ground_truth(SHIPPED["embedded_other"]).manifest
    assert other["sha256"] == audited.load("embedded_other").sha256 != truth.manifest["sha256"]
    assert other["verification"]["auc_ci95"][0] >= 0.9
    assert other["training"] == truth.manifest["training"]
    assert other["source"]["seed"] != truth.manifest["source"]["seed"]


@pytest.mark.full
@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_weights_leak_as_recorded(name):
    truth, model = lab_models.ground_truth(SHIPPED[name]), audited.load(name)
    rows = {1: truth.members, 0: truth.non_members}
    seed = truth.manifest["split"]["seed"]
    found = lab_leakage.measure(model, truth.source, rows, workers=1, seed=seed)
    recorded = truth.manifest["neighbour_auditor"]
    for network in ("audited", "random_network"):
        assert found[network]["auc"] == pytest.approx(recorded[network]["auc"], abs=0.01)
