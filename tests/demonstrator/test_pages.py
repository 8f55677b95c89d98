"""The pages: languages, escaping, what people with and without eyes are told, and the report."""

import hashlib
import re

import pytest
from demonstrator.brightness import models, photos, picture
from demonstrator.reading import Page, links, press, report_of

from mint_jax.demonstrator import english, spanish

HEADINGS = ("h1", "h2", "h3", "h4")


def _run(client, *files, name="photo.png", lang="en", person=False) -> Page:
    """The results of photos; where they show several faces, of those that are chosen already."""
    data = {"person": "1"} if person else {}
    files = photos(*files, name=name)
    answer = client.post(f"/run?lang={lang}", files=files, data=data)
    page = Page(answer.text)
    if "/run/faces" in answer.text:
        answer = press(client, page)
        page = Page(answer.text)
    assert answer.status_code == 200
    return page


@pytest.fixture(params=["home", "choice", "result", "error"])
def page(request, client) -> Page:
    if request.param == "home":
        return Page(client.get("/").text)
    if request.param == "choice":
        files = photos(picture(250), picture(90, 3), b"no image")
        return Page(client.post("/run", files=files, data={"person": "1"}).text)
    if request.param == "result":
        return _run(client, picture(250), picture(90, 3), b"no image", person=True)
    answer = client.post("/run", files=photos(b"x"), headers={"accept": "text/html"})
    assert answer.status_code == 415
    return Page(answer.text)


def test_headings_landmarks_labels_and_pictures(page):
    assert [attrs["lang"] for attrs in page.all("html")] == ["en"]
    levels = [HEADINGS.index(tag) for tag, _ in page.elements if tag in HEADINGS]
    assert levels[0] == 0 and levels.count(0) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:]))
    assert [len(page.all(tag)) for tag in ("main", "header", "nav", "title")] == [1, 1, 1, 1]
    labelled = {attrs["for"] for attrs in page.all("label")}
    shown = [attrs for attrs in page.all("input") if attrs.get("type") != "hidden"]
    assert {attrs["id"] for attrs in shown} == labelled
    faces = [attrs for attrs in shown if attrs["name"] == "face"]  # a label says what they are
    assert len([attrs for attrs in page.all("img") if not attrs["alt"]]) == len(faces)
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs in page.elements:
        for name in ("aria-labelledby", "aria-describedby"):
            assert set(attrs.get(name, "").split()) <= set(ids)
    assert page.all("a")[0]["href"] == "#main" and "main" in ids


def test_nothing_of_the_page_breaks_its_own_policy_or_comes_from_elsewhere(page):
    for tag, attrs in page.elements:
        assert "style" not in attrs and not [name for name in attrs if name.startswith("on")]
        assert tag not in ("style", "iframe", "object", "base")
        for name in ("src", "href", "action"):
            assert attrs.get(name, "/")[0] in "/#" or attrs[name].startswith("data:"), attrs
    assert [attrs["src"] for attrs in page.all("script")] == ["/script.js"]


def test_home_has_the_form_and_the_examples(client):
    page = Page(client.get("/").text)
    forms = page.all("form")
    assert forms[0]["action"] == "/run?lang=en" and forms[0]["enctype"] == "multipart/form-data"
    photos_input, camera, person = page.all("input")
    assert "multiple" in photos_input and photos_input["name"] == camera["name"] == "photos"
    assert camera["accept"] == "image/*" and "capture" in camera
    assert person["name"] == "person"
    assert "up to 10 photos, 15 MB each" in page.text
    assert "These photos were used to train" in page.text and "<two>" in page.text
    shown = [attrs["src"] for attrs in page.all("img")]
    assert shown == ["/examples/0/0.jpg", "/examples/0/1.jpg", "/examples/1/0.jpg"]
    assert {client.get(src).headers["content-type"] for src in shown} == {"image/jpeg"}
    for number, attrs in enumerate(page.all("form")[1:]):
        assert attrs["action"] == f"/examples/{number}?lang=en"
        result = Page(client.post(attrs["action"]).text).text
        assert ("No photo of this person was used" in result) == bool(number)
        assert (english.TEXT["together_title"] in result) == (not number)


@pytest.mark.parametrize(
    "url, accepted, expected",
    [
        ("/", "es-ES,es;q=0.9,en;q=0.8", "es"),
        ("/?lang=en", "es", "en"),
        ("/?lang=es", "en", "es"),
        ("/?lang=<b>", "", "en"),
    ],
)
def test_languages(client, url, accepted, expected):
    answer = client.get(url, headers={"accept-language": accepted})
    words = {"en": english, "es": spanish}[expected]
    assert answer.headers["content-language"] == expected
    assert answer.headers["vary"] == "Accept-Language"
    assert words.TEXT["tagline"] in Page(answer.text).text
    assert f"/run?lang={expected}" in answer.text


def test_spanish_results_mark_the_english_of_the_audit(client):
    page = _run(client, picture(250), lang="es")
    assert page.all("html")[0]["lang"] == "es"
    assert spanish.VERDICTS["likely_used"] in page.text
    assert english.VERDICTS["likely_used"] not in page.text
    shown = Page(links(page)[f"{_name(page)}.html"])
    for own in (page, shown):
        quoted = own.quoted("en")
        assert {"Yes.", "No.", "It <fails>.", "It is <dark>."} <= set(quoted)
        assert spanish.VERDICTS["likely_used"] in own.text and "al menos 4,3 más" in own.text


def _name(page: Page) -> str:
    return next(iter(links(page))).rsplit(".", 1)[0]


def test_a_verdict_stands_with_all_that_belongs_to_it(client):
    page = _run(client, picture(250), picture(90))
    assert "is higher than those of" in page.text
    for own in (page, Page(links(page)[f"{_name(page)}.html"])):
        text = own.text[own.text.index("Photo 1") :]
        used, unused = text.index("Likely used"), text.index("No evidence of use")
        for told in (
            "34 (between 12 and 80)",
            "0.0021",
            "as it does to fewer than 1 in 470 comparable photos that were not used",
        ):
            assert used < text.index(told) < unused
        for told in (
            "0.647",
            "up to 65 in 100 comparable photos that were not used",
            "Of 100 photos that were used, this audit finds about 21",
        ):
            assert text.count(told) == 1 and text.index(told) > unused
        assert english.REASONS["out_of_support"] in text and "It is <dark>." in text
        assert "at least 4.3 more" in text and "It <fails>." in text and "a" * 64 in text
        for word in ("posterior", "probability of use", "probability that it was used"):
            assert word not in text.lower()


def test_photos_of_one_person_are_combined_first(client):
    files = [picture(250), picture(250), picture(50, 2)]
    apart, together = _run(client, *files), _run(client, *files, person=True)
    assert "All photos together" not in apart.text
    assert together.text.index("All photos together") < together.text.index("Photo 1")
    combined = report_of(together)["together"]
    assert combined[0]["score"] == pytest.approx(150 / 255)  # the copy counts once
    assert combined[0]["says"][1] == "Different photos that count: 2."
    assert "comparable people whose photos were not used" in combined[0]["says"][2]
    assert report_of(apart)["together"] == []
    assert "All photos together" not in _run(client, picture(250), person=True).text


def test_one_bad_photo_does_not_spoil_the_others(client):
    page = _run(client, picture(250), b"no image", picture(50))
    assert english.ERRORS["not_an_image"] in page.text and "Likely used" in page.text
    found = report_of(page)["photos"]
    assert [photo["error"] for photo in found] == [None, english.ERRORS["not_an_image"], None]


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)<script>.png",
        '"><img src=x onerror=alert(1)>.png',
        "{{ 7 * 7 }}{% include 'base.html.j2' %}.png",
        "../../../etc/passwd",
        "ñandú 写真 🙂.png",
        "n" * 300,
    ],
)
def test_malicious_names(client, name):
    answer = client.post("/run", files=photos(picture(250), name=name))
    page = Page(answer.text)
    assert answer.status_code == 200
    assert [attrs.get("src") for attrs in page.all("script")] == ["/script.js"]
    assert not [attrs for attrs in page.all("img") if not attrs["src"].startswith("data:")]
    report = Page(links(page)[f"{_name(page)}.html"])
    assert not report.all("script") and not report.all("img")
    stored = report_of(page)["photos"][0]["name"]
    assert "/" not in stored and len(stored) <= 100
    assert stored in page.text and stored in report.text


def test_the_report_is_complete_and_holds_no_image(client):
    sent = picture(250), picture(90, 2)
    page = _run(client, *sent)
    report, shown = report_of(page), Page(links(page)[f"{_name(page)}.html"])
    assert set(report) == {
        "date", "statements", "models", "photos", "together", "verification"
    }  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", report["date"])
    assert report["statements"] == english.TEXT["report_statements"]
    for photo, data in zip(report["photos"], sent):
        assert photo["sha256"] == hashlib.sha256(data).hexdigest()
    for own, model in zip(report["models"], models()):
        assert (own["name"], own["sha256"], own["auditor"]) == (
            model.name,
            model.sha256,
            model.auditor,
        )
        assert "members" not in own
    assert report["models"][1]["controls"] == {
        "points": -0.5,
        "against": "pixels",
        "reasons": ["It <fails>."],
    }
    finding = report["photos"][0]["faces"][0]["findings"][0]
    assert finding["likelihood_ratio_bounds"] == [12.0, 80.0] and finding["p_value"] == 0.0021
    assert report["photos"][1]["faces"][0]["findings"][0]["likelihood_ratio"] is None
    commands = report["verification"]
    assert any("experiments.verdict" in command for command in commands)
    for text in (
        report["date"],
        "It is <dark>.",
        *report["statements"],
        *commands,
        "a" * 64,
        "b" * 64,
    ):
        assert text in shown.text
    for photo in report["photos"]:
        assert photo["sha256"] in shown.text
    assert not shown.all("img") and "data:" not in " ".join(links(page).values())


def test_contrast():
    """WCAG 2.2, success criterion 1.4.3, by its own formula."""
    from mint_jax.demonstrator.limits import Limits
    from mint_jax.demonstrator.pages import Pages

    style = Pages(type("Empty", (), {"models": []})(), Limits(), []).style
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{3,6})", style))

    def luminance(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        parts = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    for front in ("ink", "muted", "members", "others"):
        for back in ("paper", "tint"):
            dark, light = luminance(colours[front]), luminance(colours[back])
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (front, back)
