"""Chromium without a window, driven over a pipe by the DevTools protocol; no driver is needed.

https://chromedevtools.github.io/devtools-protocol/
"""

import fcntl
import json
import os
import select
import subprocess
import time
from typing import Any

_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    "--remote-debugging-pipe",
)
_SECONDS = 30


class Chromium:
    """One page of a browser of its own.

    Attributes:
      events: what the browser told beside its answers.
    """

    def __init__(self, program: str, profile: str):
        """`profile` is a new folder."""
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in (theirs_in, theirs_out)]

        def hand_over() -> None:
            for fd, number in zip(high, (3, 4)):
                os.dup2(fd, number)

        self._process = subprocess.Popen(
            [program, *_FLAGS, f"--user-data-dir={profile}"],
            preexec_fn=hand_over,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for fd in (theirs_in, theirs_out, *high):
            os.close(fd)
        self._read, self._write, self._buffer = ours_in, ours_out, b""
        self._number, self._session, self.events = 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "DOM", "Network", "Log"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """Ends the browser."""
        self._process.kill()
        self._process.wait()
        os.close(self._read)
        os.close(self._write)

    def call(self, method: str, **params: Any) -> dict:
        """Calls a method of the protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, script: str) -> None:
        """Returns when an expression is true, also across a change of pages."""
        until = time.monotonic() + _SECONDS
        while True:
            try:
                if self.run(f"document.readyState == 'complete' && !!({script})"):
                    return
            except AssertionError:
                pass  # between two pages
            assert time.monotonic() < until, f"never true: {script}"
            time.sleep(0.05)

    def open(self, url: str) -> None:
        """Opens a page."""
        self.call("Page.navigate", url=url)
        self.wait(f"location.href == {json.dumps(url)}")

    def choose(self, selector: str, *paths: str) -> None:
        """Chooses files, as a person does in the dialog of the system."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=list(paths), nodeId=node)

    def press(self, key: str, code: int, text: str = "") -> None:
        """Presses a key and lets it go."""
        about = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **about)
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def size(self, width: int, height: int, phone: bool = False) -> None:
        """The size of the screen; a phone's is touched."""
        about = dict(width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.call("Emulation.setDeviceMetricsOverride", **about)
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)

    def _next(self) -> dict:
        until = time.monotonic() + _SECONDS
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0, until - time.monotonic()))
            assert ready, "the browser does not answer"
            chunk = os.read(self._read, 1 << 20)
            assert chunk, "the browser has ended"
            self._buffer += chunk
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)
