"""The platform as people use it, in Chromium: with and without scripts, by keyboard, on a phone."""

import json
import shutil
import time
from pathlib import Path

import pytest
from demonstrator.brightness import Brightness, picture
from demonstrator.chromium import Chromium
from demonstrator.servers import served

from mint_jax.demonstrator import Example, create_app

TAB, SPACE, ENTER = ("Tab", 9), (" ", 32, " "), ("Enter", 13, "\r")


@pytest.fixture(scope="module")
def address():
    app = create_app(Brightness(), examples=[Example("one", [picture(250, kind=".jpg")], True)])
    with served(app) as (_, found):
        yield found


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no chromium on the path")
    try:
        browser = Chromium(program, str(tmp_path_factory.mktemp("profile")))
    except (AssertionError, OSError) as error:
        pytest.skip(f"{program} does not start here: {error}")
    yield browser
    browser.close()


@pytest.fixture
def page(browser):
    browser.size(1200, 900)
    browser.events.clear()
    yield browser
    told = [event["params"] for event in browser.events if event["method"] == "Log.entryAdded"]
    assert told == []  # a broken policy, a script error or a missing file is told here


@pytest.fixture
def photo(tmp_path) -> str:
    path = tmp_path / "face <b>.jpg"
    path.write_bytes(picture(250, 2, ".jpg"))
    return str(path)


def _press(page, shown: str) -> None:
    """Presses the button of the form, which leads to a page that shows something."""
    page.run("document.querySelector('form.upload button').click()")
    page.wait(f"document.querySelector('{shown}')")


def _verdicts(page) -> list[str]:
    return page.run("[...document.querySelectorAll('.verdict')].map(e => e.textContent)")


def test_upload_run_and_download(page, address, photo, tmp_path):
    page.open(f"{address}/?lang=en")
    page.choose("#photos", photo)
    assert "face <b>.jpg" in page.run("document.querySelector('.chosen').textContent")
    _press(page, "fieldset")
    page.run("document.querySelector('#face-0-1').click()")
    _press(page, ".verdict")
    assert _verdicts(page) == ["Likely used", "Cannot tell"] * 2
    folder = tmp_path / "downloads"
    page.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    for kind in ("html", "json"):
        page.run(f"document.querySelector('a[download$=\".{kind}\"]').click()")
    until = time.monotonic() + 20
    while sorted(p.suffix for p in _files(folder)) != [".html", ".json"]:
        assert time.monotonic() < until, list(_files(folder))
        time.sleep(0.05)
    html, data = sorted(_files(folder))
    assert json.loads(data.read_text())["photos"][0]["name"] == "face <b>.jpg"
    page.open(html.as_uri())
    assert page.run("document.querySelector('h1').textContent") == "MINT report"
    assert page.run("getComputedStyle(document.querySelector('main')).maxWidth") != "none"


def _files(folder: Path):
    return folder.iterdir() if folder.is_dir() else ()


def test_without_scripts(page, address, photo):
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    page.open(f"{address}/?lang=es")
    page.choose("#photos", photo)
    page.call("Emulation.setScriptExecutionDisabled", value=False)
    assert page.run("document.querySelector('.chosen').textContent") == ""  # no script has run
    for shown in ("fieldset", ".verdict"):
        page.call("Emulation.setScriptExecutionDisabled", value=True)
        page.run("document.querySelector('form.upload button').focus()")
        page.press(*ENTER)
        page.call("Emulation.setScriptExecutionDisabled", value=False)
        page.wait(f"document.querySelector('{shown}')")
    assert _verdicts(page)[0] == "Probablemente usada"


def test_by_keyboard_alone(page, address):
    page.open(f"{address}/?lang=en")
    reached = []
    while "EXAMPLE" not in reached:
        page.press(*TAB)
        reached.append(
            page.run(
                "(e => e.closest('.examples') ? 'EXAMPLE' : e.id || e.className || e.tagName)"
                "(document.activeElement)"
            )
        )
        style = page.run("getComputedStyle(document.activeElement).outlineStyle")
        assert style != "none", reached
        assert len(reached) < 30
    assert reached[0] == "skip"
    assert [name for name in ("photos", "person", "BUTTON") if name in reached] == [
        "photos",
        "person",
        "BUTTON",
    ]
    page.press(*ENTER)
    page.wait("document.querySelector('.verdict')")
    page.run("document.querySelector('.card details summary').focus()")
    page.press(*SPACE)
    assert page.run("document.querySelector('.card details').open")


@pytest.mark.parametrize("lang", ["en", "es"])
def test_a_phone_shows_everything_in_its_width(page, address, photo, lang):
    page.size(360, 740, phone=True)
    page.open(f"{address}/?lang={lang}")
    assert page.run("getComputedStyle(document.querySelector('.camera')).display") == "block"
    assert page.run("document.documentElement.scrollWidth") <= 360
    page.choose("#photos", photo)
    _press(page, "fieldset")
    assert page.run("document.documentElement.scrollWidth") <= 360
    _press(page, ".verdict")
    assert page.run("document.documentElement.scrollWidth") <= 360


def test_a_photo_that_is_too_large_is_told(page, address, tmp_path):
    path = tmp_path / "large.jpg"
    path.write_bytes(bytes(40 << 20))
    page.open(f"{address}/?lang=en")
    page.choose("#photos", str(path))
    _press(page, "[role=alert]")
    assert "15 MB" in page.run("document.querySelector('[role=alert]').textContent")
    page.events.clear()  # the browser calls an answer of 413 an error
