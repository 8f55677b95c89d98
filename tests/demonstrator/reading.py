"""Pages as a test reads them, and presses their button."""

import base64
import json
import re
from html.parser import HTMLParser

from httpx import Response
from starlette.testclient import TestClient

VOID = {"meta", "link", "img", "input", "br"}


class Page(HTMLParser):
    """Elements and text; a tag that closes another one is an error."""

    def __init__(self, source: str):
        super().__init__()
        self.open, self.elements, self.words, self.quotes = [], [], [], []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), f"an attribute twice in {tag}"
        if tag not in VOID:
            self.open.append(tag)
        if tag == "q":
            self.quotes.append([dict(attrs).get("lang"), ""])

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)
        if "q" in self.open:
            self.quotes[-1][1] += data

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def quoted(self, lang: str) -> list[str]:
        """What is quoted in a language."""
        return [text for own, text in self.quotes if own == lang]

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.elements if name == tag]


def links(page: Page) -> dict[str, str]:
    """{file name: text} of what can be downloaded from a page."""
    found = {}
    for attrs in page.all("a"):
        if "download" in attrs:
            found[attrs["download"]] = base64.b64decode(attrs["href"].split("base64,")[1]).decode()
    return found


def report_of(page: Page) -> dict:
    """The report as data, which can be downloaded from a page."""
    return json.loads(next(text for name, text in links(page).items() if name.endswith("json")))


def press(client: TestClient, page: Page, *picked: str, person: bool | None = None) -> Response:
    """Sends the form of a page of faces: those picked, or those that are chosen beforehand."""
    fields = []
    for attrs in page.all("input"):
        sent = attrs.get("type") == "hidden" or "checked" in attrs
        if attrs["name"] == "face" and picked:
            sent = attrs["value"] in picked
        if attrs["name"] == "person" and person is not None:
            sent = person
        if sent:
            fields.append((attrs["name"], (None, attrs["value"])))
    (form,) = page.all("form")
    return client.post(form["action"], files=fields)
