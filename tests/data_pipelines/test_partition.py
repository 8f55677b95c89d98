"""Partitions of sources: disjoint people, sizes as asked for, small sources whole."""

import numpy as np
import pytest

from data_pipelines.audit_set import partition
from data_pipelines.errors import InputError

WANTED = {"bank": 40, "train": 20, "calibration": 10, "test": 30}


class Photos:
    def __init__(self, people: int, each: int):
        self.identities = np.repeat(np.arange(people), each)
        self.keys = tuple(f"{i}" for i in range(len(self.identities)))

    def __len__(self):
        return len(self.identities)

    def __getitem__(self, index):
        return {"identity": int(self.identities[index])}


def _people(parts):
    return [set(part.identities.tolist()) for part in parts.values()]


@pytest.mark.parametrize("sources", [[(300, 1)], [(60, 4)], [(10, 10)], [(10, 3), (200, 2)]])
def test_parts_share_nobody_and_have_the_sizes_asked_for(sources):
    parts = partition([Photos(*source) for source in sources], WANTED, seed=1)
    assert {name: len(part) for name, part in parts.items()} == WANTED
    people = _people(parts)
    assert sum(map(len, people)) == len(set.union(*people))


def test_the_bank_gives_way_first():
    parts = partition([Photos(80, 1)], WANTED, seed=0)
    sizes = {name: len(part) for name, part in parts.items()}
    assert sizes["train"] == 20 and sizes["calibration"] == 10 and sizes["test"] == 30
    assert 18 <= sizes["bank"] <= 20


def test_too_few_images_shrink_every_part():
    parts = partition([Photos(40, 1)], WANTED, seed=0)
    sizes = {name: len(part) for name, part in parts.items()}
    assert 30 <= sum(sizes.values()) <= 40 and min(sizes.values()) >= 1
    assert sizes["train"] >= 10 and sizes["test"] >= 15


def test_small_sources_are_in_every_part():
    parts = partition([Photos(20, 1), Photos(400, 1)], WANTED, seed=0)
    small = sum(int((part.rows < 20).sum()) for part in parts.values())
    assert small >= 16
    assert {name: len(part) for name, part in parts.items()} == WANTED


def test_weights_are_shares_of_every_part():
    sources = [Photos(400, 1), Photos(400, 1), Photos(30, 1)]
    parts = partition(sources, WANTED, seed=0, weights=[3, 1, 1])
    for name, part in parts.items():
        assert len(part) == WANTED[name]
        counts = np.histogram(part.rows, [0, 400, 800, 831])[0] / len(part)
        if name == "bank":  # the third source has too little for it
            assert counts[2] < 0.25
        assert abs(counts[0] / counts[1] - 3) < 1
    with pytest.raises(InputError, match="give 2 positive numbers"):
        partition(sources[:2], WANTED, seed=0, weights=[1])


def test_by_image_one_person_fills_every_part():
    parts = partition([Photos(1, 200)], WANTED, seed=0, by="image")
    assert {name: len(part) for name, part in parts.items()} == WANTED
    rows = np.concatenate([part.rows for part in parts.values()])
    assert len(set(rows.tolist())) == sum(WANTED.values())
    with pytest.raises(InputError, match="identity"):
        partition([Photos(9, 9)], WANTED, seed=0, by="photo")
