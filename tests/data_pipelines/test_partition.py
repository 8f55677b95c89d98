"""Partitions of sources: disjoint people, sizes as asked for, small sources whole."""

import numpy as np
import pytest

from experiments.audit_sets import partition

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
    assert 30 <= sum(sizes.values()) <= 40 and min(sizes.values()) >= 4


def test_small_sources_are_in_every_part():
    parts = partition([Photos(20, 1), Photos(400, 1)], WANTED, seed=0)
    small = sum(int((part.rows < 20).sum()) for part in parts.values())
    assert small >= 16
    assert {name: len(part) for name, part in parts.items()} == WANTED
