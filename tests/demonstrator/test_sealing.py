"""Found faces in a seal: all comes back as it was, for so long, and within the form's limits."""

import numpy as np
import pytest

from mint_jax.demonstrator.examiner import SHAPE, Face, PhotoError
from mint_jax.demonstrator.limits import Limits
from mint_jax.demonstrator.refusals import Refused
from mint_jax.demonstrator.running import Photo
from mint_jax.demonstrator.sealing import HOURS, Sealer


def _photo(faces: int, name: str = "\U0001f642" * 100) -> Photo:
    """A photo that does not compress, under a long name."""
    draws = np.random.default_rng(0)
    places = draws.random((faces, 2)).astype(np.float32)
    images = draws.integers(0, 256, (faces, *SHAPE), np.uint8)[..., ::-1]
    found = [
        Face((i, 2, 3, 4), image, tuple(at)) for i, (image, at) in enumerate(zip(images, places))
    ]
    return Photo(name, "f" * 64, found)


def test_all_comes_back_as_it_was():
    error = PhotoError("too_many_pixels", limit=50)
    aligned = Photo(
        "a", "0" * 64, [Face((0, 0, 112, 112), np.zeros(SHAPE, np.uint8), (np.nan,) * 2)]
    )
    sent = [_photo(2, "b\n"), Photo("", "1" * 64, error=error), aligned]
    sealer = Sealer()
    found = sealer.open(sealer.seal(sent))
    assert [(own.name, own.sha256, own.findings) for own in found] == [
        (own.name, own.sha256, {}) for own in sent
    ]
    assert (found[1].error.code, found[1].error.details) == ("too_many_pixels", {"limit": 50})
    for own, other in zip(sent, found):
        assert len(own.faces) == len(other.faces)
        for face, opened in zip(own.faces, other.faces):
            assert face.box == opened.box and (face.image == opened.image).all()
            np.testing.assert_array_equal(face.placement, opened.placement)


def test_a_seal_ends():
    now = 1e9
    sealer = Sealer(lambda: now)
    sealed = sealer.seal([_photo(2)])
    now += HOURS * 3600
    assert len(sealer.open(sealed)) == 1
    now += 2
    with pytest.raises(Refused) as refused:
        sealer.open(sealed)
    assert (refused.value.status, refused.value.code) == (400, "sealed")


@pytest.mark.parametrize("faces", [2, 40])
def test_as_many_faces_as_are_accepted_fit_into_the_field(faces):
    limits = Limits(faces=faces)
    others = [Photo(_photo(0).name, "f" * 64, error=PhotoError("damaged"))] * (limits.photos - 1)
    assert len(Sealer().seal([_photo(faces), *others])) <= limits.sealed_bytes
