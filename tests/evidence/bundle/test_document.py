"""Documents of evidence bundles: they name nobody, and are told from what is none."""

import json

import pytest

from mint_jax.errors import InputError
from mint_jax.evidence import bundle


def test_it_holds_no_key_and_no_identity(made):
    document, path = made
    text = path.read_text()
    assert "secret" not in text and "jpg" not in text and str(path.parent) not in text
    assert str(1 << 32) not in text
    keys = [
        k for parts in document["data"]["parts"].values() for p in parts.values() for k in p["keys"]
    ]
    assert len(set(keys)) == len(keys) and all(len(key) == 32 for key in keys)


def test_keys_of_another_audit_are_others(tmp_path):
    for name, content in (("a", b"1"), ("b", b"2")):
        (tmp_path / name).write_bytes(content)
    salts = [bundle.salt_of(tmp_path / name) for name in ("a", "b", "a")]
    hashes = [bundle.salted(salt, "photo.jpg") for salt in salts]
    assert hashes[0] == hashes[2] != hashes[1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("no json", "not an evidence bundle"),
        ("[1, 2]", "not an evidence bundle"),
        ("[" * 100_000, "not an evidence bundle"),
        ('{"schema": "other", "version": 1}', "not known here"),
        (None, "No such file"),
    ],
)
def test_what_is_no_bundle_is_an_error_of_one_line(tmp_path, content, words):
    path = tmp_path / "bundle.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=words) as error:
        bundle.read(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_bundle_that_lacks_something(made):
    document, path = made
    del document["seeds"]
    bundle.write(path.parent, document)
    with pytest.raises(InputError, match="'seeds'"):
        bundle.read(path)
    bundle.write(path.parent, document | {"seeds": {}, "claims": []})
    with pytest.raises(InputError, match="'claims'"):
        bundle.read(path)


def test_the_digest_is_that_of_the_sorted_content(made):
    """Another writer's order and spaces do not matter."""
    document, path = made
    turned = dict(reversed(document.items()))
    path.write_text(json.dumps(turned, indent=3))
    assert bundle.digest(bundle.read(path)) == document["digest"]
