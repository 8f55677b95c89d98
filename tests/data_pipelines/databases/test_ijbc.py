"""IJB-C as it is downloaded: rows, people, landmarks, and what may be broken."""

import cv2
import numpy as np
import pytest
from miniatures import ijbc
from miniatures.photos import jpeg, photo

from data_pipelines.databases.ijbc import Ijbc
from data_pipelines.errors import InputError

# InsightFace's template at 112, 5/4 as large and shifted: the face is cut out at scale 4/5.
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655],
     [70.7299, 92.2041]]
)  # fmt: skip
SHIFT = np.array([30.0, 20.0])
LANDMARKS = TEMPLATE * 1.25 + SHIFT
TEMPLATES = [11, 11, 40, 7, 99, 5]
PAIRS = [(40, 7, 1), (11, 7, 0), (7, 99, 1), (11, 21, 0), (5, 101, 1)]


def rows(n=6):
    crops = [jpeg(photo(seed, 190, 200)) for seed in range(n)]
    return [(crops[i], LANDMARKS + i, TEMPLATES[i], 1000 + i) for i in range(n)]


@pytest.fixture
def folder(tmp_path):
    ijbc.write(tmp_path / "IJBC", rows(), PAIRS)
    return tmp_path / "IJBC"


def edit(folder, name, old, new):
    path = folder / "meta" / f"ijbc_{name}.txt"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_rows(folder):
    source = Ijbc(folder)
    assert source.keys == tuple(f"loose_crop/{i}.jpg" for i in range(1, 7))
    assert source.templates.tolist() == TEMPLATES
    assert source.media.tolist() == list(range(1000, 1006))
    # 40 and 99 are one person through 7, though no pair names them together.
    assert source.identities.tolist() == [0, 0, 1, 1, 1, 2]
    assert source.identities.dtype == np.int64
    np.testing.assert_allclose(source.landmarks(3), LANDMARKS + 3, atol=1e-4)
    assert (source.encoded(2), source.database) == (rows()[2][0], "ijbc")


def test_faces_are_cut_by_the_listed_landmarks(folder):
    item = Ijbc(folder)[2]
    image = cv2.imread(str(folder / "loose_crop" / "3.jpg"))[..., ::-1]
    matrix = np.column_stack([np.eye(2) * 0.8, -(SHIFT + 2) * 0.8])
    expected = cv2.warpAffine(image, matrix, (112, 112), flags=cv2.INTER_LINEAR)
    assert np.abs(item["image"].astype(int) - expected).max() <= 1
    assert item["image"].std() > 10
    assert (item["identity"], item["key"], item["database"]) == (1, "loose_crop/3.jpg", "ijbc")


def test_without_pairs_a_template_is_a_person(folder):
    (folder / "meta" / "ijbc_template_pair_label.txt").unlink()
    assert Ijbc(folder.parent).identities.tolist() == [0, 0, 1, 2, 3, 4]


def test_windows_line_ends(folder, tmp_path):
    ijbc.write(tmp_path / "other", rows(), PAIRS, newline=" \r\n")
    source, same = Ijbc(tmp_path / "other"), Ijbc(folder)
    assert source.keys == same.keys and not source.broken
    assert source.identities.tolist() == same.identities.tolist()


@pytest.mark.parametrize(
    ("name", "old", "new", "reason"),
    [
        ("name_5pts_score", " 0.992", "", "line 2 of ijbc_name_5pts_score.txt: has 11 fields"),
        ("name_5pts_score", "0.992", "0.992 1", "line 2 of ijbc_name_5pts_score.txt: has 13"),
        ("name_5pts_score", "0.992", "high", "line 2 of .*high"),
        ("face_tid_mid", "2.jpg 11 1001", "2.jpg 11", "line 2 of ijbc_face_tid_mid.txt: not a"),
        ("face_tid_mid", "2.jpg 11 1001", "2.jpg x 1001", "line 2 of ijbc_face_tid_mid.txt: not a"),
    ],
)
def test_a_broken_line_is_a_row_that_raises(folder, name, old, new, reason):
    edit(folder, name, old, new)
    source = Ijbc(folder)
    assert len(source) == 6 and list(source.broken) == [1]
    with pytest.raises(InputError, match=f"2.jpg: {reason}"):
        source[1]
    assert source[2]["key"] == "loose_crop/3.jpg"
    assert [source.templates[row] for row in (0, 2, 5)] == [11, 40, 5]


def test_a_line_twice(folder):
    edit(folder, "name_5pts_score", "4.jpg", "3.jpg")
    edit(folder, "face_tid_mid", "4.jpg", "3.jpg")
    source = Ijbc(folder)
    assert len(set(source.keys)) == 6 and source.keys[2] == "loose_crop/3.jpg"
    with pytest.raises(InputError, match="3.jpg#again1: the lists name it more than once"):
        source[3]


def test_broken_files(folder):
    crops = folder / "loose_crop"
    (crops / "1.jpg").unlink()
    (crops / "2.jpg").write_bytes(b"")
    (crops / "3.jpg").write_bytes((crops / "3.jpg").read_bytes()[:-200])
    source = Ijbc(folder)
    for row, reason in enumerate(["No such file", "the file is empty", "the JPEG is cut off"]):
        with pytest.raises(InputError, match=f"loose_crop/{row + 1}.jpg: {reason}"):
            source[row]
    assert len(source) == 6 and source[3]["image"].shape == (112, 112, 3)


def test_unusable_folders(folder, tmp_path):
    edit(folder, "face_tid_mid", "6.jpg 5 1005\n", "")
    with pytest.raises(InputError, match="ijbc_face_tid_mid.txt: lists 5 images, .* lists 6"):
        Ijbc(folder)
    edit(folder, "face_tid_mid", "2.jpg", "9.jpg")
    with pytest.raises(InputError, match="ijbc_face_tid_mid.txt: line 2 is of 9.jpg, .* has 2.jpg"):
        Ijbc(folder)
    (folder / "meta" / "ijbc_face_tid_mid.txt").unlink()
    with pytest.raises(InputError, match="ijbc_face_tid_mid.txt: No such file"):
        Ijbc(folder)
    (folder / "loose_crop").rename(folder / "crops")
    with pytest.raises(InputError, match="loose_crop: no such folder"):
        Ijbc(folder)
    with pytest.raises(InputError, match="absent/meta or .*no such folder"):
        Ijbc(tmp_path / "absent")
    ijbc.write(tmp_path / "empty", [])
    with pytest.raises(InputError, match="empty: its lists name no images"):
        Ijbc(tmp_path / "empty")
    ijbc.write(tmp_path / "pairs", rows(), [(11, 40, 1), ("x", 7, 1)])
    with pytest.raises(InputError, match="pair_label.txt: line 2 is not a pair"):
        Ijbc(tmp_path / "pairs")
