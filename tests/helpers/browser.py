"""Headless Chromium, driven through its DevTools protocol over a pipe, without a network or a package."""

import base64
import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions", "--mute-audio")


def find_browser() -> str | None:
    """Return the path of Chromium; None if there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of a headless browser.

    Args:
        profile: Folder for the profile.
        width, height: Size of the window, pixels.
        dark: Whether the dark color scheme is requested.

    Attributes:
        problems: Texts of console errors, warnings, exceptions and blocked requests so far.
    """

    def __init__(self, profile: Path, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        self.problems: list[str] = []
        self._numbers, self._rest, self._events = itertools.count(1), b"", []  # type: ignore[var-annotated]
        self._process = self._start(profile, to_read, to_write)
        os.close(to_read)
        os.close(to_write)
        target = self._send("Target.createTarget", {"url": "about:blank"})["targetId"]
        self._session = self._send("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", {"features": [scheme]})

    def _start(self, profile: Path, to_read: int, to_write: int) -> subprocess.Popen[bytes]:
        """Start the browser; it reads commands from descriptor 3 and writes to descriptor 4."""
        # Descriptors are moved out of the way first: one of ours may be 3 or 4 itself.
        command = 'exec 8<&"$1" 9>&"$2" 3<&8 4>&9; shift 2; exec "$@"'
        words = [find_browser(), *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]
        return subprocess.Popen(
            ["bash", "-c", command, "bash", str(to_read), str(to_write), *map(str, words)],
            pass_fds=(to_read, to_write),
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._to)
        os.close(self._from)
        self._process.terminate()
        self._process.wait(timeout=20)

    def open(self, file: Path) -> None:
        """Load a page and wait until it has loaded."""
        self._events.clear()
        self.send("Page.navigate", {"url": file.resolve().as_uri()})
        while "Page.loadEventFired" not in self._events:
            self._receive()

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression."""
        result = self.send("Runtime.evaluate", {"expression": script, "returnByValue": True, "awaitPromise": True})
        if "exceptionDetails" in result:
            raise AssertionError(json.dumps(result["exceptionDetails"])[:2000])
        return result["result"].get("value")

    def click(self, x: float, y: float) -> None:
        """Click with the left button at a position in the window."""
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1})

    def move(self, x: float, y: float) -> None:
        """Move the pointer."""
        self.send("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": x, "y": y})

    def wheel(self, x: float, y: float, amount: float) -> None:
        """Turn the wheel at a position in the window; negative amounts turn it away from the user."""
        where = {"type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": amount}
        self.send("Input.dispatchMouseEvent", where)

    def screenshot(self, file: Path, *, whole: bool = False) -> None:
        """Write the window, or the whole page, as a PNG file."""
        picture = self.send("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": whole})
        file.write_bytes(base64.b64decode(picture["data"]))

    def send(self, method: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a command to the page and return its result."""
        return self._send(method, parameters or {}, session=self._session)

    def _send(self, method: str, parameters: dict[str, Any], session: str = "") -> dict[str, Any]:
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        os.write(self._to, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            read = os.read(self._from, 1 << 20)
            assert read, "the browser has ended"
            self._rest += read
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, event: str, parameters: dict[str, Any]) -> None:
        self._events.append(event)
        if event == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(parameters["exceptionDetails"])[:2000])
        elif event == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
            self.problems.append(json.dumps(parameters["args"])[:2000])
        elif event == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.problems.append(json.dumps(parameters["entry"])[:2000])
