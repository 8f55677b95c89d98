"""Splits that share nobody, and fair draws."""

from types import SimpleNamespace

import numpy as np
import pytest

from data_pipelines import audit_set
from data_pipelines.errors import InputError
from data_pipelines.sources import Subset


class Photos(SimpleNamespace):
    def __len__(self):
        return len(self.keys)


def _people(seed=0, n=300):
    """Identities of very different sizes, in no order."""
    rng = np.random.default_rng(seed)
    return rng.permutation(np.repeat(rng.permutation(n) * 7, rng.integers(1, 20, n)))


def _check_disjoint(identities, parts):
    sets = [set(identities[rows].tolist()) for rows in parts.values()]
    assert len(set().union(*sets)) == sum(map(len, sets))


def test_shares():
    identities = _people()
    shares = {"bank": 0.5, "train": 0.3, "test": 0.2}
    parts = audit_set.split(identities, shares, seed=3)
    _check_disjoint(identities, parts)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(len(identities)))
    for part, share in shares.items():
        assert abs(len(parts[part]) - share * len(identities)) <= 20
        assert (np.diff(parts[part]) > 0).all()


def test_what_no_share_asks_for_is_left_out():
    parts = audit_set.split(np.arange(1000), {"a": 0.25, "b": 0.25}, seed=0)
    assert [len(rows) for rows in parts.values()] == [250, 250]


def test_numbers_are_exact():
    identities = _people(1)
    parts = audit_set.split(identities, {"train": 1000, "none": 0, "test": 333}, seed=0)
    assert [len(rows) for rows in parts.values()] == [1000, 0, 333]
    _check_disjoint(identities, parts)


def test_too_many_are_an_error():
    with pytest.raises(InputError, match="part 'b' .* needs 60 images, 50 are left of 100"):
        audit_set.split(np.arange(100), {"a": 50, "b": 60}, seed=0)
    with pytest.raises(InputError, match="add up to 1.2"):
        audit_set.split(np.arange(100), {"a": 0.6, "b": 0.6}, seed=0)


def test_the_seed_decides_and_is_fair():
    identities = np.repeat(np.arange(40), 3)
    first, again, other = (
        audit_set.split(identities, {"a": 0.5}, seed=seed)["a"] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    chosen = np.zeros(40)
    for seed in range(400):
        chosen[identities[audit_set.split(identities, {"a": 0.5}, seed=seed)["a"]][::3]] += 1
    assert np.abs(chosen / 400 - 0.5).max() < 0.12  # 4.8 standard deviations of a fair coin


def test_the_names_of_people_do_not_matter():
    identities = _people(2)
    renamed = identities * 3 + 11
    for a, b in zip(
        audit_set.split(identities, {"x": 0.5, "y": 0.5}, 0).values(),
        audit_set.split(renamed, {"x": 0.5, "y": 0.5}, 0).values(),
    ):
        np.testing.assert_array_equal(a, b)


def test_a_pick_is_a_fair_sample_of_images():
    source = Photos(keys=tuple(map(str, range(50))), identities=np.arange(50))
    source = Subset(source, np.arange(50))
    chosen = np.zeros(50)
    for seed in range(400):
        rows = audit_set.pick(source, count=20, seed=seed).rows
        assert len(set(rows.tolist())) == 20 and (np.diff(rows) > 0).all()
        chosen[rows] += 1
    assert np.abs(chosen / 400 - 0.4).max() < 0.12  # 4.9 standard deviations
    assert audit_set.pick(source, count=50) is source is audit_set.pick(source)


def test_a_pick_filters_by_key():
    source = Photos(keys=("a/1", "b/1", "a/2"), identities=np.arange(3))
    assert audit_set.pick(source, match="a/*").keys == ("a/1", "a/2")
    with pytest.raises(InputError, match="no image of 3 has a key like c"):
        audit_set.pick(source, match="c*")
