"""A headless Chromium, driven over its pipe: commands go in and answers come out, no driver needed."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-sync")
_SECONDS = 30.0


class Browser:
    """One tab. `errors` holds what the page's console had to complain of, refused by its policy or thrown."""

    def __init__(self, reads: int, writes: int) -> None:
        self._reads, self._writes = os.fdopen(reads, "rb"), os.fdopen(writes, "wb", buffering=0)
        self._number, self._session = 0, ""
        self.errors: list[str] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for part in ("Page", "Runtime", "DOM", "Log"):
            self.send(f"{part}.enable")

    def send(self, method: str, **parameters: Any) -> Any:
        """A command of the DevTools protocol, and its result."""
        self._number += 1
        asked = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            asked["sessionId"] = self._session
        self._writes.write(json.dumps(asked).encode() + b"\0")
        while True:
            said = self._read()
            if said.get("id") == self._number:
                assert "error" not in said, said
                return said["result"]

    def _read(self) -> Any:
        text = bytearray()
        while (one := self._reads.read(1)) != b"\0":
            assert one, "the browser has ended"
            text += one
        said = json.loads(text)
        if said.get("method") == "Log.entryAdded" and said["params"]["entry"]["level"] == "error":
            self.errors.append(said["params"]["entry"]["text"])
        if said.get("method") == "Runtime.exceptionThrown":
            self.errors.append(str(said["params"]["exceptionDetails"]))
        return said

    def open(self, address: str) -> None:
        """Goes to a page and waits until it is there."""
        self.send("Page.navigate", url=address)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, script: str) -> Any:
        """What the expression comes to in the page; a promise is waited for."""
        found = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, script: str) -> None:
        """Waits until the expression is true in the page."""
        deadline = time.monotonic() + _SECONDS
        while not self.run(f"Boolean({script})"):
            assert time.monotonic() < deadline, f"never came true: {script}"
            time.sleep(0.05)

    def keys(self, text: str) -> None:
        """Types a text where the focus is; "\\t" and "\\r" are the keys Tab and Enter."""
        for one in text:
            name = {"\t": "Tab", "\r": "Enter"}.get(one, one)
            code = {"\t": 9, "\r": 13}.get(one, 0)
            shown = {} if one == "\t" else {"text": one}
            self.send("Input.dispatchKeyEvent", type="keyDown", key=name, windowsVirtualKeyCode=code, **shown)
            self.send("Input.dispatchKeyEvent", type="keyUp", key=name, windowsVirtualKeyCode=code)

    def choose(self, selector: str, path: Path) -> None:
        """Chooses a file in the input that the selector finds, as its dialog would."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def screenshot(self, path: Path, width: int, height: int, *, dark: bool = False) -> None:
        """A PNG of the page as a window of this size shows it."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.send("Emulation.setDeviceMetricsOverride", **size)
        self.run("new Promise((done) => setTimeout(done, 400))")  # bars grow
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))


@contextlib.contextmanager
def browsing(profile: Path) -> Iterator[Browser]:
    """A browser with a profile of its own; it is gone at the end."""
    to_it, ours = os.pipe()
    theirs, from_it = os.pipe()

    # Chromium reads commands from its descriptor 3 and answers on 4.
    started = f'exec "$@" 3</dev/fd/{to_it} 4>/dev/fd/{from_it}'
    process = subprocess.Popen(
        ["sh", "-c", started, "sh", CHROMIUM, *_FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(to_it, from_it),
    )
    os.close(to_it)
    os.close(from_it)
    browser = Browser(theirs, ours)
    try:
        yield browser
    finally:
        browser._session = ""
        with contextlib.suppress(Exception):
            browser.send("Browser.close")
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        browser._reads.close()
        browser._writes.close()
