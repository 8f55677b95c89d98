"""Generated packs are read as InsightFace's are, and decoded as OpenCV decodes them."""

import numpy as np

from data_pipelines import duplicates, images
from data_pipelines.recordio import RecordIOSource
from experiments.benchmarks import decoding, packs


def test_a_pack_is_a_training_set(tmp_path):
    jpegs = list(packs.textures(90, seed=1))
    source = RecordIOSource(packs.write(tmp_path / "pack", iter(jpegs), 90))
    assert len(source) == 90
    np.testing.assert_array_equal(source.identities, np.arange(90) // 40)
    np.testing.assert_array_equal(source[41]["image"], images.decode(jpegs[41]))
    assert len(duplicates.screen(source).kept) == 90  # none is a double of another


def test_faces_repeat_as_other_files(monkeypatch):
    monkeypatch.setattr(packs, "_PEOPLE", 1)
    jpegs = list(packs.faces(10))
    assert len(set(jpegs)) == 10
    assert {images.decode(jpeg).shape for jpeg in jpegs} == {(112, 112, 3)}


def test_the_loader_gives_what_decoding_gives(tmp_path):
    race = decoding.input_decode(tmp_path, 40, batch=16)  # compares them
    alone, torch = race.peers
    assert race.n == 40 and race.ours() > 0 and alone.figure() > 0
    assert alone.goal == 0.8 and torch.goal is None
