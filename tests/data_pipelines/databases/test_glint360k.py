"""InsightFace's training sets as they are downloaded."""

import pytest
from miniatures import mxnet
from miniatures.photos import jpeg, photo

from data_pipelines.databases import READERS
from data_pipelines.errors import InputError

open_pack = READERS["glint360k"]


@pytest.fixture
def folder(tmp_path):
    images = [(jpeg(photo(i, 112, 112)), i // 2) for i in range(6)]
    folder = tmp_path / "glint360k"
    folder.mkdir()
    mxnet.insightface(folder / "train", images)
    return folder


def test_rows(folder):
    source = open_pack(folder)
    assert source.identities.tolist() == [0, 0, 1, 1, 2, 2]
    assert [source.encoded(i) for i in range(6)] == [jpeg(photo(i, 112, 112)) for i in range(6)]
    assert source[3]["database"] == "glint360k"
    (folder / "property").unlink()
    assert len(open_pack(folder, quality=80)) == 6


def test_the_pack_that_mxnet_wrote(test_data):
    source = open_pack(test_data / "insightface" / "mxnet_lfw10")
    assert len(source) == 100 and source[99]["identity"] == 9


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2,112,112", "property: 2 persons, but .*train.rec: record 6 is of 2"),
        ("3,112,96", "property: 112x96, but .*train.rec: record 1 is 112x112"),
        ("", "property: not persons,height,width"),
        ("3,112", "property: not persons,height,width"),
        ("many,112,112", "property: not persons,height,width"),
    ],
)
def test_property_must_fit(folder, text, reason):
    (folder / "property").write_text(text)
    with pytest.raises(InputError, match=reason):
        open_pack(folder)


def test_a_damaged_first_image_does_not_keep_the_pack_shut(tmp_path):
    mxnet.insightface(tmp_path / "train", [(b"", 0), (jpeg(photo(0, 112, 112)), 1)])
    source = open_pack(tmp_path)
    assert len(source) == 2
    with pytest.raises(InputError, match="record 1: "):
        source[0]


def test_unusable_folders(folder, tmp_path):
    (folder / "train.rec").unlink()
    with pytest.raises(InputError, match="glint360k: no train.rec in it"):
        open_pack(folder)
    with pytest.raises(InputError, match="absent: no such folder"):
        open_pack(tmp_path / "absent")
