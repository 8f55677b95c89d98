"""Adience as it is downloaded: crops, folds, people, and what may be broken."""

import numpy as np
import pytest
from miniatures import adience
from miniatures.photos import jpeg, photo

from data_pipelines.databases.adience import Adience
from data_pipelines.errors import InputError

PEOPLE = [
    (0, "30601258@N03", "10399646885_67c7d20df9_o.jpg", 1),
    (0, "30601258@N03", "10424815813_e94629b1ec_o.jpg", 2),
    (0, "30601258@N03", "10437979845_5985be4b26_o.jpg", 1),
    (2, "7285955@N06", "9521557837_f0fcf4b85f_o.jpg", 2),
    (4, "albüm 人", "straße.jpg", 2174),
]


def rows():
    def crops(seed):
        return {"aligned": jpeg(photo(seed, 112, 112)), "faces": jpeg(photo(seed + 50, 90, 80))}

    return [(*person, crops(seed)) for seed, person in enumerate(PEOPLE)]


@pytest.fixture
def folder(tmp_path):
    adience.write(tmp_path, rows())
    return tmp_path


def test_rows(folder):
    source = Adience(folder)
    aligned = "aligned/30601258@N03/landmark_aligned_face.1.10399646885_67c7d20df9_o.jpg"
    assert source.keys[0] == aligned
    assert source.keys[4] == "aligned/albüm 人/landmark_aligned_face.2174.straße.jpg"
    assert source.identities.tolist() == [0, 1, 0, 2, 3]  # face 2 of another album is another one
    assert source.splits == ["fold_0"] * 3 + ["fold_2", "fold_4"]
    assert [source.encoded(row) for row in range(5)] == [row[4]["aligned"] for row in rows()]
    assert source[4]["image"].shape == (112, 112, 3) and source.landmarks(0) is None


def test_other_crops(folder, tmp_path):
    chosen = Adience(folder, crops="faces", align="never")
    assert chosen.keys[3] == (
        "faces/7285955@N06/coarse_tilt_aligned_face.2.9521557837_f0fcf4b85f_o.jpg"
    )
    assert chosen.encoded(3) == rows()[3][4]["faces"]
    adience.write(tmp_path / "other", rows(), crops=["faces"])
    assert Adience(tmp_path / "other").keys == chosen.keys


def test_frontal_faces_alone(folder):
    adience.write(folder, [rows()[1], rows()[3]], stem="fold_frontal")
    source = Adience(folder, frontal=True)
    assert source.keys == tuple(Adience(folder).keys[row] for row in (1, 3))
    assert source.splits == ["fold_frontal_0", "fold_frontal_2"]


def test_windows_line_ends(folder, tmp_path):
    adience.write(tmp_path / "other", rows(), newline="\r\n")
    assert Adience(tmp_path / "other").keys == Adience(folder).keys


@pytest.mark.parametrize("change", [lambda line: line.rsplit("\t", 1)[0], lambda line: f"{line}\t"])
def test_a_broken_line_is_a_row_that_raises(folder, change):
    path = folder / "fold_0_data.txt"
    lines = path.read_text().split("\n")
    lines[2] = change(lines[2])
    path.write_text("\n".join(lines))
    source = Adience(folder)
    assert source.keys[1] == "fold_0_data.txt:3" and source.keys[2] == Adience(folder).keys[2]
    assert source.identities.tolist() == [0, 1, 0, 2, 3]
    with pytest.raises(InputError, match="fold_0_data.txt:3: it has 1[13] fields, not 12"):
        source[1]


def test_files_that_are_missing(folder):
    (folder / Adience(folder).keys[2]).unlink()
    source = Adience(folder)
    assert len(source) == 5
    with pytest.raises(InputError, match="10437979845_5985be4b26_o.jpg: No such file"):
        source[2]
    np.testing.assert_array_equal(source[3]["image"], Adience(folder)[3]["image"])


def test_unusable_folders(folder, tmp_path):
    with pytest.raises(InputError, match="crops is 'cut'; it must be one of aligned, faces"):
        Adience(folder, crops="cut")
    (folder / "fold_1_data.txt").write_text("")
    with pytest.raises(InputError, match="fold_1_data.txt: its first line does not name user_id"):
        Adience(folder)
    (folder / "fold_1_data.txt").unlink()
    with pytest.raises(InputError, match="fold_1_data.txt: No such file"):
        Adience(folder)
    with pytest.raises(InputError, match="fold_frontal_0_data.txt: No such file"):
        Adience(folder, frontal=True)
    with pytest.raises(InputError, match="absent/aligned or .*absent/faces: no such folder"):
        Adience(tmp_path / "absent")
