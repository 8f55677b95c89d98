"""Several faces in a photo: they are shown, some are chosen, and only those are examined."""

import base64
import hashlib

import pytest
from demonstrator.brightness import group, photos, picture
from demonstrator.reading import Page, links, press, report_of

from mint_jax.demonstrator import english, spanish


def _faces(client, *files: bytes, person: bool = False, lang: str = "en") -> Page:
    data = {"person": "1"} if person else {}
    answer = client.post(f"/run?lang={lang}", files=photos(*files), data=data)
    assert answer.status_code == 200
    return Page(answer.text)


def _results(answer) -> Page:
    assert answer.status_code == 200
    return Page(answer.text)


def _boxes(page: Page) -> list[list[int]]:
    return [[face["box"][0] // 112 for face in own["faces"]] for own in report_of(page)["photos"]]


def test_all_faces_are_shown_and_the_largest_are_chosen(client, examiner):
    page = _faces(client, picture(90), group(50, 90, 250), b"no image")
    assert sum(examiner.batches) <= 1  # nothing but the face that compiles
    boxes = [attrs for attrs in page.all("input") if attrs["name"] == "face"]
    assert [box["value"] for box in boxes] == ["0-0", "1-0", "1-1", "1-2"]
    assert ["checked" in box for box in boxes] == [True, True, False, False]
    shown = [attrs["src"] for attrs in page.all("img")]
    assert len(shown) == 4 and all(src.startswith("data:image/jpeg;base64,") for src in shown)
    assert len(page.all("fieldset")) == len(page.all("legend")) == 3
    for text in ("Face 1 of 3 (the largest)", "Face 3 of 3", english.ERRORS["not_an_image"]):
        assert text in page.text
    assert "hashes of your photos" not in page.text  # there is no report yet


def test_photos_of_single_faces_are_examined_at_once(client):
    assert "/run/faces" not in client.post("/run", files=photos(picture(), picture(9))).text


def test_only_chosen_faces_are_examined(client, examiner):
    sent = group(50, 90, 250), b"no image", group(60, 70), picture(80)
    page = _faces(client, *sent)
    found = _results(press(client, page, "0-1", "0-2", "3-0"))
    assert _boxes(found) == [[1, 2], [], [], [0]]
    assert sum(examiner.batches[1:]) == 3
    told = report_of(found)["photos"]
    scores = [[face["findings"][0]["score"] for face in own["faces"]] for own in told]
    assert scores[0] == pytest.approx([90 / 255, 250 / 255]) and scores[3] == [80 / 255]
    assert [own["faces_found"] for own in told] == [3, 0, 2, 1]
    assert [face["number"] for face in told[0]["faces"]] == [2, 3]
    assert [own["sha256"] for own in told] == [hashlib.sha256(data).hexdigest() for data in sent]
    shown = Page(next(text for name, text in links(found).items() if name.endswith("html")))
    for own in (found, shown):
        assert "Face 3 of 3" in own.text and "Face 1 of 3" not in own.text
        assert "224, 0, 336, 112" in own.text and english.ERRORS["not_an_image"] in own.text
        assert "as you chose: 2 of the 3" in own.text and "as you chose: 0 of the 2" in own.text
        assert own.text.count("as you chose") == 2


def test_of_one_person_the_chosen_faces_are_combined(client):
    page = _faces(client, group(10, 90), group(20, 30), picture(60), person=True)
    found = _results(press(client, page, "0-1", "1-1", "2-0"))
    together = report_of(found)["together"]
    assert together[0]["score"] == pytest.approx((90 + 30 + 60) / 3 / 255)
    assert "Different photos that count: 3." in together[0]["says"]
    assert report_of(_results(press(client, page, person=False)))["together"] == []
    assert report_of(_results(press(client, page, "0-1")))["together"] == []


def test_a_choice_that_cannot_be_examined_is_shown_again(client, examiner):
    page = _faces(client, group(10, 90), picture(60), person=True)
    for picked, code in ((("none",), "no_face_chosen"), (("0-0", "0-1"), "one_face_each")):
        answer = press(client, page, *picked)
        assert answer.status_code == 422
        again = Page(answer.text)
        assert english.ERRORS[code] in again.text
        checked = [attrs["value"] for attrs in again.all("input") if "checked" in attrs]
        assert checked == [*(value for value in picked if value != "none"), "1"]
        assert _boxes(_results(press(client, again, "0-1"))) == [[1], []]
    assert _boxes(_results(press(client, page, "0-0", "0-1", person=False))) == [[0, 1], []]


def _sealed(page: Page) -> str:
    (field,) = [attrs for attrs in page.all("input") if attrs.get("type") == "hidden"]
    return field["value"]


def test_what_was_not_sealed_here_is_refused(client, serve):
    sealed = _sealed(_faces(client, group(10, 90)))
    middle = len(sealed) // 2
    forged = sealed[:middle] + ("B" if sealed[middle] == "A" else "A") + sealed[middle + 1 :]
    elsewhere = _sealed(_faces(serve(), group(10, 90)))
    for text in (forged, elsewhere, sealed[:-4], "", "\u00e9", "A" * 10**6):
        fields = [("sealed", (None, text)), ("face", (None, "0-0"))]
        answer = client.post("/run/faces", files=fields)
        assert answer.status_code == 400 and answer.json()["error"]["code"] == "sealed"
        html = client.post("/run/faces?lang=es", files=fields, headers={"accept": "text/html"})
        assert spanish.ERRORS["sealed"] in Page(html.text).text
    for files in (photos(picture()), [("face", (None, "0-0"))]):
        assert client.post("/run/faces", files=files).json()["error"]["code"] == "sealed"
    fields = [("sealed", (None, sealed)), ("face", (None, "0-1"))]
    assert _boxes(_results(client.post("/run/faces", files=fields))) == [[1]]


def test_what_is_sealed_cannot_be_read(client):
    sealed = base64.urlsafe_b64decode(_sealed(_faces(client, group(10, 90))))
    assert b"photo.png" not in sealed and bytes([90] * 50) not in sealed


def test_in_spanish(client):
    page = _faces(client, group(10, 90), lang="es")
    assert page.all("html")[0]["lang"] == "es"
    assert page.all("form")[0]["action"] == "/run/faces?lang=es"
    for text in (spanish.TEXT["choice_title"], "Cara 1 de 2 (la mayor)", "Cara 2 de 2"):
        assert text in page.text
    found = _results(press(client, page, "0-1"))
    assert found.all("html")[0]["lang"] == "es" and "Cara 2 de 2" in found.text
    assert spanish.TEXT["examined"].format(chosen=1, found=2) in found.text


def test_the_rate_of_a_client_counts_choices(serve):
    client = serve(burst=2, rate=0.1)
    page = _faces(client, group(10, 90))
    assert press(client, page).status_code == 200
    assert press(client, page).status_code == 429
