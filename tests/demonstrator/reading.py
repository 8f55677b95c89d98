"""Pages as a test reads them, and presses their button."""

import base64
import json
import re

from httpx import Response
from markup import Markup
from starlette.testclient import TestClient


class Page(Markup):
    """Elements, text and quotations."""

    def __init__(self, source: str):
        self.words, self.quotes = [], []
        super().__init__(source)

    def handle_starttag(self, tag, attrs):
        super().handle_starttag(tag, attrs)
        if tag == "q":
            self.quotes.append([dict(attrs).get("lang"), ""])

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
