"""Partitions that share nobody, and their manifests."""

from types import SimpleNamespace

import numpy as np
import pytest

from data_pipelines import audit_set
from data_pipelines.errors import InputError


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


def test_manifest_survives_another_order_of_the_source(tmp_path):
    keys = tuple(f"{i}.jpg" for i in range(30))
    source = SimpleNamespace(keys=keys, identities=np.arange(30) // 3)
    parts = audit_set.split(source.identities, {"a": 0.5, "b": 0.5}, seed=0)
    path = tmp_path / "manifest.json"
    audit_set.write_manifest(path, source, parts, seed=0)
    turned = SimpleNamespace(keys=source.keys[::-1])
    for part, rows in audit_set.read_manifest(path, turned).items():
        assert [turned.keys[row] for row in rows] == [source.keys[row] for row in parts[part]]
    assert '"identities": 5' in path.read_text() and '"seed": 0' in path.read_text()
    with pytest.raises(InputError, match="no image"):
        audit_set.read_manifest(path, SimpleNamespace(keys=("0.jpg",)))


@pytest.mark.parametrize("content", ["", "[]", '{"parts": 3}', '{"parts": {"a": {}}}'])
def test_other_files_are_no_manifest(tmp_path, content):
    path = tmp_path / "manifest.json"
    path.write_text(content)
    with pytest.raises(InputError, match="not a manifest"):
        audit_set.read_manifest(path, SimpleNamespace(keys=()))
    with pytest.raises(InputError, match="No such file"):
        audit_set.read_manifest(tmp_path / "absent.json", SimpleNamespace(keys=()))
