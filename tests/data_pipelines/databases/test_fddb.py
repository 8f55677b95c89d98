"""FDDB as it is downloaded: faces, boxes, folds, and what may be broken."""

import numpy as np
import pytest
from miniatures import fddb
from miniatures.photos import jpeg, photo

from data_pipelines.databases.fddb import Fddb, ellipse_box
from data_pipelines.errors import InputError
from data_pipelines.faces import Faces

RED, BLUE = (220, 10, 10), (10, 10, 220)
LEFT, RIGHT = (60.0, 40.0, 1.5, 80.0, 110.0), (50.0, 40.0, -1.4, 260.0, 100.0)


def two_faces():
    """A photo with a red and a blue face on grey."""
    image = np.full((220, 340, 3), 128, np.uint8)
    image[60:160, 40:120] = RED
    image[50:150, 220:300] = BLUE
    return image


def by_colour(image):
    """A detector of faces that are red or blue."""
    boxes = []
    for colour in (RED, BLUE):
        found = np.abs(image.astype(int) - colour).max(2) < 60
        if found.any():
            y, x = np.nonzero(found)
            boxes.append([x.min(), y.min(), x.max(), y.max()])
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    within = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
    marks = boxes[:, None, :2] + within * (boxes[:, None, 2:] - boxes[:, None, :2])
    return Faces(boxes, marks.astype(np.float32), np.ones(len(boxes), np.float32))


PHOTOS = {
    1: [
        ("2002/07/19/big/img_130", jpeg(two_faces()), [LEFT, RIGHT]),
        ("2002/08/11/big/img_591", jpeg(photo(1, 112, 112)), [(50.0, 40.0, 1.5, 56.0, 56.0)]),
    ],
    3: [("2003/01/01/big/img_9", jpeg(two_faces()), [RIGHT])],
}


@pytest.fixture
def folder(tmp_path):
    fddb.write(tmp_path, PHOTOS)
    return tmp_path


def fold(folder, number):
    return folder / "FDDB-folds" / f"FDDB-fold-{number:02d}-ellipseList.txt"


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_rows(folder):
    source = Fddb(folder)
    assert source.keys == (
        "2002/07/19/big/img_130#0",
        "2002/07/19/big/img_130#1",
        "2002/08/11/big/img_591#0",
        "2003/01/01/big/img_9#0",
    )
    assert source.identities.tolist() == [0, 1, 2, 3]
    assert source.splits == ["FDDB-fold-01"] * 3 + ["FDDB-fold-03"]
    assert source.encoded(0) == source.encoded(1) == PHOTOS[1][0][1]
    assert source.landmarks(0) is None and source.box(0).dtype == np.float32


@pytest.mark.parametrize(
    "ellipse", [LEFT, RIGHT, (123.5833, 85.5495, 1.265839, 269.6934, 161.7812), (9, 9, 0.3, 1, 2),
                (30, 2, 0, 5, 5), (30, 2, np.pi / 2, 5, 5), (30, 2, -0.7, 5, 5)]
)  # fmt: skip
def test_the_box_is_the_smallest_around_the_ellipse(ellipse):
    major, minor, angle, x, y = ellipse
    phase = np.linspace(0, 2 * np.pi, 200_001)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    curve = turn @ [major * np.cos(phase), minor * np.sin(phase)] + [[x], [y]]
    expected = [*curve.min(1), *curve.max(1)]
    np.testing.assert_allclose(ellipse_box(*ellipse), expected, atol=1e-6)


def test_the_face_in_the_box_is_cut_out(folder):
    source = Fddb(folder, detector=by_colour)
    for row, colour in [(0, RED), (1, BLUE), (3, BLUE)]:
        middle = source[row]["image"][50:80, 45:70].mean((0, 1))
        assert np.abs(middle - colour).max() < 12
    assert source[2]["image"].shape == (112, 112, 3)


def test_no_face_in_the_box(folder):
    edit(fold(folder, 3), "260.0", "100.0")
    with pytest.raises(InputError, match="img_9#0: no face was found where the database has one"):
        Fddb(folder, detector=lambda image: by_colour(image * 0))[3]


def test_windows_line_ends(folder, tmp_path):
    fddb.write(tmp_path / "other", PHOTOS, newline="\r\n")
    source = Fddb(tmp_path / "other")
    assert source.keys == Fddb(folder).keys and not source.broken
    assert source.encoded(3) == PHOTOS[3][0][1]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("60.000000 40.000000 1.500000", "60.000000 1.500000", "line 3 of .*: has 5 fields, not 6"),
        ("60.000000 40", "60.000000 wide", "line 3 of .*could not convert"),
        ("60.000000 40", "-60.000000 40", "line 3 of .*: not an ellipse"),
        ("60.000000 40", "nan 40", "line 3 of .*: not an ellipse"),
    ],
)
def test_a_broken_ellipse_is_a_row_that_raises(folder, old, new, reason):
    edit(fold(folder, 1), old, new)
    source = Fddb(folder, detector=by_colour)
    assert source.keys == Fddb(folder).keys and list(source.broken) == [0]
    with pytest.raises(InputError, match=f"img_130#0: {reason}"):
        source[0]
    assert source[1]["key"].endswith("#1")


def test_numbers_of_faces_that_do_not_fit(folder):
    path = fold(folder, 1)
    edit(path, "img_130\n2\n", "img_130\n3\n")
    with pytest.raises(InputError, match="fold-01.*: line 5: .*img_130 has 2 faces, not 3"):
        Fddb(folder)
    edit(path, "img_130\n3\n", "img_130\n1\n")
    with pytest.raises(InputError, match="fold-01.*: line 4 is followed by no number of faces"):
        Fddb(folder)
    edit(path, "img_130\n1\n", "img_130\n")
    with pytest.raises(InputError, match="fold-01.*: line 1 is followed by no number of faces"):
        Fddb(folder)
    edit(path, "img_130\n", "img_130\n2\n")
    edit(path, "img_591\n1\n", "img_591\n2\n")
    with pytest.raises(InputError, match="img_591 has 1 faces, not 2"):
        Fddb(folder)


def test_unusable_folders(folder, tmp_path):
    (folder / "originalPics/2002/07/19/big/img_130.jpg").unlink()
    with pytest.raises(InputError, match="img_130#1: No such file"):
        Fddb(folder)[1]
    fold(folder, 7).unlink()
    with pytest.raises(InputError, match="FDDB-fold-07-ellipseList.txt: No such file"):
        Fddb(folder)
    with pytest.raises(InputError, match="originalPics: no such folder"):
        Fddb(tmp_path / "absent")
