"""The page in a real browser, in front of the functions themselves; only the model and the account are not there.

KENNEL_SCREENSHOTS=FOLDER leaves pictures of the page there, to be looked at.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from kennel.settings import classify_settings, site_settings

from functions.classify import app as classify
from functions.site import app as site
from tests.unit.fakes import EXPLANATION, Runtime, client_error
from tests.unit.test_site import Account

from .api import KEY, serving
from .browser import CHROMIUM, Browser, browsing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium on this machine to show the page with"),
]
PICTURE = Path(__file__).parents[2] / "pictures" / "beagle.jpg"
ENVIRONMENT = {
    "ENDPOINT_NAME": "kennel",
    "OWN_BUCKETS": "data",
    "ARTIFACT_BUCKET": "artifacts",
    "API_AUTH": "API_KEY",
    "POWERTOOLS_METRICS_NAMESPACE": "Kennel",
}


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """The functions in an environment, the model and the account replaced by fakes."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    fake = Runtime()
    monkeypatch.setattr(classify, "_runtime", lambda: fake)
    monkeypatch.setattr(classify.metrics, "namespace", "Kennel")
    account = Account()
    monkeypatch.setattr(site, "_client", lambda service: account)
    for cached in (classify_settings, site_settings):
        cached.cache_clear()
    site._kept.clear()
    yield fake
    for cached in (classify_settings, site_settings):
        cached.cache_clear()
    site._kept.clear()


@pytest.fixture
def address(runtime: Runtime) -> Iterator[str]:
    with serving() as found:
        yield found


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with browsing(tmp_path / "profile") as found:
        yield found


def shot(browser: Browser, name: str, width: int = 1000, height: int = 760, *, dark: bool = False) -> None:
    if folder := os.environ.get("KENNEL_SCREENSHOTS"):
        browser.screenshot(Path(folder) / f"{name}.png", width, height, dark=dark)


def text(browser: Browser, name: str) -> str:
    return str(browser.run(f"document.getElementById('{name}').innerText"))


def test_a_person_asks_about_pictures_from_the_first_visit_on(browser: Browser, runtime: Runtime, address: str) -> None:
    # given the page, opened for the first time, by an address without a slash at its end
    browser.open(address)
    shot(browser, "first")
    # when a picture is chosen, the page asks for the key; a wrong one is refused by the API and asked for again
    browser.choose("#file", PICTURE)
    browser.until("document.getElementById('ask').open")
    shot(browser, "key")
    browser.keys("wrong\r")
    browser.until("document.getElementById('ask').open && document.getElementById('ask-why').innerText.includes('not')")
    browser.keys(f"{KEY}\r")
    # then the answer is there, and the focus on it
    browser.until("document.activeElement.id === 'best'")
    assert text(browser, "best") == "Dalmatian"
    assert text(browser, "bars").split("\n") == ["Dalmatian", "97.0 %", "Beagle", "2.0 %", "Affenpinscher", "1.0 %"]
    assert browser.run("document.getElementById('unsure').hidden")
    assert browser.run("document.getElementById('picture').naturalWidth") > 0
    browser.until("document.getElementById('model').innerText.includes('95.0 %')")
    assert runtime.calls[-1]["Body"] == PICTURE.read_bytes()
    shot(browser, "answer-light")
    shot(browser, "answer-dark", dark=True)
    shot(browser, "answer-phone", 375, 812)
    # and after a reload, when the model is not sure, no key is asked for and the page says so
    runtime.confident = False
    browser.open(f"{address}/")
    shot(browser, "again-phone-dark", 375, 812, dark=True)
    browser.choose("#camera", PICTURE)
    browser.until("document.activeElement.id === 'best'")
    assert text(browser, "best") == "Perhaps Dalmatian"
    assert "not sure" in text(browser, "unsure")
    shot(browser, "unsure-phone-dark", 375, 812, dark=True)
    shot(browser, "unsure-light")
    # and the browser had nothing to complain of but the one wrong key
    assert [error for error in browser.errors if "403" not in error] == []


def test_the_keyboard_alone_is_enough_and_problems_are_told_in_their_own_sentence(
    browser: Browser, runtime: Runtime, address: str
) -> None:
    # given the key
    browser.open(address)
    browser.run(f"keep('{KEY}')")
    # when a link that may not be read is typed and sent off by keys alone
    browser.keys("\t\t\thttp://127.0.0.1/dog.jpg\r")
    # then the problem document's sentence is what the page says
    browser.until("document.getElementById('error').innerText")
    assert "public address" in text(browser, "error")
    assert not runtime.calls
    shot(browser, "problem")
    # and so it is with a file that is no picture, before anything is sent
    browser.choose("#file", Path(__file__))
    browser.until("document.getElementById('error').innerText.includes('not a picture')")


HEAT = "document.getElementById('heat')"
FRAME = "document.getElementById('frame').getBoundingClientRect()"


def test_what_decided_is_shown_over_the_picture_on_demand(browser: Browser, runtime: Runtime, address: str) -> None:
    # given an answer
    browser.open(address)
    browser.run(f"keep('{KEY}')")
    browser.choose("#file", PICTURE)
    browser.until("document.activeElement.id === 'best'")
    assert browser.run(f"{HEAT}.hidden")
    # when the next control is used, by keys, then the same picture is asked about again, now to be explained
    browser.keys("\t\r")
    browser.until(f"!{HEAT}.hidden && {HEAT}.complete && {HEAT}.naturalWidth")
    assert [call["Body"] == PICTURE.read_bytes() for call in runtime.calls] == [True, True]
    assert runtime.calls[1]["CustomAttributes"] == "top_k=1,explain=1"
    # and the map lies over it, a square in the middle of a frame that has the picture's form
    width, height = browser.run(f"[{FRAME}.width, {FRAME}.height]")
    picture = browser.run("(({ naturalWidth, naturalHeight }) => naturalWidth / naturalHeight)(picture)")
    assert abs(width - height * picture) < 1
    assert browser.run(f"getComputedStyle({HEAT}).objectFit") == "contain"
    # and whoever does not see it is told: the control is pressed, the map has a name, the status speaks
    assert browser.run("document.activeElement.id + document.activeElement.ariaPressed") == "explaintrue"
    assert str(EXPLANATION["breed"]) in browser.run(f"{HEAT}.alt")
    assert "heat map" in text(browser, "status")
    shot(browser, "heat-light")
    shot(browser, "heat-dark", dark=True)
    shot(browser, "heat-phone", 375, 812)
    shot(browser, "heat-phone-dark", 375, 812, dark=True)
    # and it goes and comes without another request
    browser.keys("\r")
    browser.until(f"{HEAT}.hidden")
    browser.keys("\r")
    browser.until(f"!{HEAT}.hidden")
    assert len(runtime.calls) == 2
    # and another picture has none yet; where the model cannot explain, its answer stays and the page says so
    browser.choose("#file", PICTURE)
    browser.until("document.activeElement.id === 'best'")
    assert browser.run(f"{HEAT}.hidden && !{HEAT}.hasAttribute('src')")
    document = '{"type": "about:blank#bad-attributes"}'
    runtime.error = client_error("ModelError", OriginalStatusCode=400, OriginalMessage=document)
    browser.keys("\t\r")
    browser.until("document.getElementById('error').innerText")
    assert "model in service cannot" in text(browser, "error")
    assert text(browser, "best") == "Dalmatian"
    assert [error for error in browser.errors if "502" not in error] == []


def test_a_picture_is_pasted_and_text_is_left_where_it_belongs(
    browser: Browser, runtime: Runtime, address: str
) -> None:
    browser.open(address)
    browser.run(f"keep('{KEY}')")
    pasted = """(what) => {
        const carried = new DataTransfer();
        what(carried);
        const event = new ClipboardEvent("paste", { clipboardData: carried, bubbles: true, cancelable: true });
        document.getElementById("url").dispatchEvent(event);
        return event.defaultPrevented;
    }"""
    # when text is pasted, the page leaves it alone
    assert not browser.run(f"({pasted})((carried) => carried.setData('text/plain', 'https://example.com/'))")
    assert not runtime.calls
    # when a picture is, it is asked about
    file = "new File([Uint8Array.from([0xff, 0xd8, 0xff, 0xe0])], 'a.jpg', { type: 'image/jpeg' })"
    assert browser.run(f"({pasted})((carried) => carried.items.add({file}))")
    browser.until("document.activeElement.id === 'best'")
    assert runtime.calls[0]["Body"] == b"\xff\xd8\xff\xe0"
    # which the browser cannot show: there is nothing to lay a heat map over, and no control for it
    browser.until("document.getElementById('explain').offsetParent === null")


def test_a_photograph_that_is_too_large_for_the_api_is_made_smaller_and_sent(
    browser: Browser, runtime: Runtime, address: str
) -> None:
    browser.open(address)
    browser.run(f"keep('{KEY}')")
    # when a picture of more bytes than the API takes is dropped onto the page
    browser.run(
        """(async () => {
            const noise = new ImageData(1600, 1200);
            const at = (i) => noise.data.subarray(i, i + 65536);
            for (let i = 0; i < noise.data.length; i += 65536) crypto.getRandomValues(at(i));
            for (let i = 3; i < noise.data.length; i += 4) noise.data[i] = 255;
            const canvas = new OffscreenCanvas(1600, 1200);
            canvas.getContext("2d").putImageData(noise, 0, 0);
            const large = new File([await canvas.convertToBlob({ type: "image/png" })], "a.png", { type: "image/png" });
            const carried = new DataTransfer();
            carried.items.add(large);
            document.dispatchEvent(new DragEvent("drop", { dataTransfer: carried, cancelable: true }));
            return large.size;
        })()"""
    )
    browser.until("document.activeElement.id === 'best'")
    # then what arrives is a JPEG within the limit
    assert runtime.calls[-1]["ContentType"] == "image/jpeg"
    assert len(runtime.calls[-1]["Body"]) < 4_500_000
