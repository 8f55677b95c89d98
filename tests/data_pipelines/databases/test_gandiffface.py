"""GANDiffFace as it is downloaded."""

import pytest
from miniatures import gandiffface
from miniatures.photos import encode, photo
from PIL import Image

from data_pipelines.databases.gandiffface import GANDiffFace
from data_pipelines.errors import InputError


def png(seed):
    return encode(Image.fromarray(photo(seed, 112, 112)), "PNG")


def test_rows(tmp_path):
    people = {"White_Male/7381461": [png(0), png(1)], "Asian_Female/12": [png(2)]}
    gandiffface.write(tmp_path, people)
    source = GANDiffFace(tmp_path)
    assert source.keys == (
        "Asian_Female/12/0.png",
        "White_Male/7381461/0.png",
        "White_Male/7381461/1.png",
    )
    assert source.identities.tolist() == [0, 1, 1]
    assert source.encoded(2) == png(1)
    assert source[0]["database"] == "gandiffface"


def test_unusable_folders(tmp_path):
    with pytest.raises(InputError, match="no images in it"):
        GANDiffFace(tmp_path)
    with pytest.raises(InputError, match="absent: no such folder"):
        GANDiffFace(tmp_path / "absent")
