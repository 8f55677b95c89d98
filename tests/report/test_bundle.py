"""The page of a bundle: its claims are on it, nothing is loaded, and no secret is there."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from evidence import bundles

from mint_jax.evidence import bundle, operating
from mint_jax.report import bundle as page
from mint_jax.report import words

VOID = {"meta", "br", "link", "img"}


class _Page(HTMLParser):
    """Tags and text; a tag that closes another one is an error."""

    def __init__(self, source):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(source)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.words.append(" " * (tag in ("td", "th")))

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", "".join(self.words))


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    return bundles.make(tmp_path_factory.mktemp("audit"))


def test_claims_stand_on_the_page(document, tmp_path):
    path = page.write(tmp_path / "here", document)
    assert bundle.read(path)["digest"] == document["digest"]
    source = (tmp_path / "here" / "bundle.html").read_text()
    shown, claims = _Page(source), document["claims"]
    assert claims["headline"] in shown.text and document["digest"] in shown.text
    for point in filter(None, claims["operating_points"].values()):
        for rate in ("tpr", "fpr"):
            expected = f"{words.rate(point[rate])} {words.interval(point[f'{rate}_ci95'])}"
            assert expected in shown.text
        assert words.count(point["people_members"]) in shown.text
    for control in claims["controls"]:
        assert words.rate(control["advantage_lower95"]) in shown.text
        expected = f"{words.figure(control, 'tpr')} {words.figure(control, 'fpr')}"
        assert expected in shown.text
    assert "n = 240 members and 1,000 non-members" in shown.text
    for name in ("people", "h0_image"):
        power = claims[name]["power"]["0.05"]
        given = claims[name]["conditional"]["0.05"]["power"]
        for found in (power, given):
            assert f"{words.figure(found, 'rate')}, n = 120" in shown.text
    for sha256 in (bundles.SHA256, *document["auditor"]["files"].values()):
        assert sha256 in shown.text
    assert "secret" not in source and not re.search(r"@import|url\(|https?:|<script", source)


def test_what_cannot_be_determined_is_said_with_reasons(tmp_path):
    document = bundles.make(tmp_path, matched=False)
    text = _Page(page.render(document)).text
    assert operating.CANNOT in text and "own collection" in text


def test_a_verdict(document):
    origin = {k: v for k, v in document.items() if k not in ("data", "claims", "digest", "kind")}
    scores = {"a": np.random.default_rng(0).random(999)}
    verdict = bundle.verdict(2.0, scores, {}, 0.05, None, origin, image="0" * 64, salt=b"s")
    text = _Page(page.render(verdict)).text
    assert "No image of this person was used for training. rejected" in text
    assert "No images are known that it could be calibrated on." in text


def test_names_are_escaped(document):
    turned = document | {"audited": {"name": "<b>", "sha256": "00"}}
    assert "<b>" not in page.render(turned).replace("<b>p", "")
